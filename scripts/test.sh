#!/usr/bin/env bash
# test.sh: set-up, build, every test.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/build.sh -DMEZZO_WERROR=ON
ctest --preset release -j"$(nproc)"

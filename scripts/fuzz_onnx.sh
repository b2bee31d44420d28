#!/usr/bin/env bash
# fuzz_onnx.sh PROGRAM [SECONDS] [CORPUS]: runs the fuzz target of the ONNX reader, seeded by the ONNX conformance models
# (libonnx-testdata, where installed) and the hostile files in tests/fuzz/seeds. A finding ends it with a non-zero code
# and leaves the input in CORPUS.
set -euo pipefail
program=${1:?usage: fuzz_onnx.sh PROGRAM [SECONDS] [CORPUS]}
seconds=${2:-300}
corpus=${3:-$(mktemp -d)}
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$corpus/seeds"
find /usr/share/libonnx-testdata -name model.onnx -size -64k 2>/dev/null | while read -r model; do
  cp "$model" "$corpus/seeds/$(basename "$(dirname "$model")").onnx"
done
if [ -d "$root/tests/fuzz/seeds" ]; then cp "$root"/tests/fuzz/seeds/* "$corpus/seeds/"; fi
mkdir -p "$corpus/found"
exec "$program" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=25 -max_len=65536 -print_final_stats=1 \
  -artifact_prefix="$corpus/" "$corpus/found" "$corpus/seeds"

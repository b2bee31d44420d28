#!/usr/bin/env bash
# setup.sh: installs what building and testing Mezzo needs on Debian 12. Does nothing, and needs no network, when all of
# it is there.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config            # tools
  protobuf-compiler libprotobuf-dev           # ONNX files
  llvm-19-dev libdnnl-dev                     # CPU code
  libcli11-dev nlohmann-json3-dev             # command line, logs
  libzip-dev libxxhash-dev                    # npz, hashes
  libturbojpeg0-dev libpng-dev zlib1g-dev     # pictures, MNIST
  libgtest-dev libgmock-dev libonnx-testdata  # tests
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing: ${missing[*]}" >&2
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "error: run as root, or install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

#!/usr/bin/env bash
# run.sh BUILD_DIR: installs the build into a temporary tree, builds tests/install against it through find_package and
# through pkg-config, and trains a model with both programs and with the installed command.
set -euo pipefail
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

cmake --install "$build" --prefix "$tree/usr" >/dev/null
cmake -S "$here" -B "$tree/cmake" -DCMAKE_PREFIX_PATH="$tree/usr" >/dev/null
cmake --build "$tree/cmake" >/dev/null
pc=$(find "$tree/usr" -name mezzo.pc -printf '%h')
libdir=$(PKG_CONFIG_PATH=$pc pkg-config --variable=libdir mezzo)
# shellcheck disable=SC2046  # the flags are words
c++ -std=c++20 "$here/main.cpp" -o "$tree/plain" $(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs mezzo) -Wl,-rpath,"$libdir"

"$build/mezzo-models" digits_mlp "$tree/net.onnx"
"$tree/cmake/consumer" "$tree/net.onnx"
"$tree/plain" "$tree/net.onnx"
LD_LIBRARY_PATH=$libdir "$tree/usr/bin/mezzo" inspect "$tree/net.onnx" >/dev/null
echo "install: ok"

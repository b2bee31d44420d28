#!/usr/bin/env bash
# install_test.sh BUILD CXX: installs BUILD into a prefix of its own, moves that, and builds and runs the project beside
# this script against it: through the CMake package and through pkg-config. Every installed header must compile alone
# and need nothing but the standard library.
set -euo pipefail
build=$1 cxx=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cmake --install "$build" --prefix "$tmp/first" >"$tmp/install.log"
mv "$tmp/first" "$tmp/prefix"  # what was installed may be moved
prefix=$tmp/prefix
model=$root/models/fixtures/mlp.ts17.onnx
export XDG_CACHE_HOME=$tmp/cache

echo "== headers"
headers=0
for header in "$prefix"/include/mezzo/*.h; do
  if grep -hE '^ *# *include' "$header" | grep -vE '<[a-z_]+>|"mezzo/[a-z_]+\.h"'; then
    echo "error: $header includes more than the standard library and its neighbours" >&2
    exit 1
  fi
  echo "#include <mezzo/$(basename "$header")>" | "$cxx" -std=c++20 -Wall -Wextra -Werror -fsyntax-only -I"$prefix/include" -x c++ -
  headers=$((headers + 1))
done
[ "$headers" -ge 5 ]

echo "== command"
"$prefix/bin/mezzo" check "$model" | tail -n 1

echo "== CMake package"
cmake -S "$here" -B "$tmp/consumer" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$prefix" >"$tmp/configure.log"
cmake --build "$tmp/consumer" >"$tmp/build.log"
"$tmp/consumer/consumer" "$model" "$tmp/cmake.onnx"

echo "== pkg-config"
pc=$(find "$prefix" -name mezzo.pc)
export PKG_CONFIG_PATH=$(dirname "$pc")
libdir=$(pkg-config --variable=libdir mezzo)
# shellcheck disable=SC2046  # the flags are words
"$cxx" -std=c++20 "$here/consumer.cpp" -o "$tmp/by_pkg_config" $(pkg-config --cflags --libs mezzo)
LD_LIBRARY_PATH=$libdir "$tmp/by_pkg_config" "$model" "$tmp/pkg.onnx"

cmp "$tmp/cmake.onnx" "$tmp/pkg.onnx"  # the same library, the same bits
echo "installed tree: $headers headers, CMake package, pkg-config"

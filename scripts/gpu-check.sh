#!/usr/bin/env bash
# gpu-check.sh [BUILD] [OUT]: everything that wants a real GPU, on a machine that has one. Uses what the gpu-portable preset
# built (BUILD, default build-gpu) and the machine's own python3; PyTorch is compared where that python has it. Fails
# when a check does; the output is left in OUT (default gpu-check).
set -uo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "${1:-build-gpu}")
out=${2:-gpu-check}
mezzo=$build/mezzo
# The tests look for their files here, not where they were built.
export MEZZO_SOURCE_DIR=$PWD MEZZO_BINARY_DIR=$build
command -v "${MEZZO_COMPILER:-c++}" >/dev/null && export MEZZO_COMPILER=${MEZZO_COMPILER:-c++}
mkdir -p "$out"
failed=0
step() { echo; echo "== $*"; }
must() { "$@" || { echo "FAILED: $*"; failed=1; }; }

step "what is found"
"$mezzo" doctor | tee "$out/doctor.txt" || failed=1
if ! "$mezzo" doctor --json | grep -q '"what": "cuda device"' || "$mezzo" doctor --json | grep -q '"lost": "no cuda device"'; then
  echo "no usable GPU on this machine"
  exit 1
fi

step "the tests of the device, on this one"
MEZZO_TEST_REAL_DEVICE=1 "$build/cuda_device_tests" --gtest_brief=1 | tee "$out/device.txt" || failed=1

step "the training tests of the CPU, on this device"
MEZZO_TEST_DEVICE=cuda "$build/runtime_tests" --gtest_brief=1 \
  --gtest_filter='*Fixture*:Session.*:Checkpoints.*:LabelSmoothing.*:Schedule.*:-*_reference' | tee "$out/training.txt" || failed=1

step "all tests"
for tests in "$build"/*_tests; do
  name=$(basename "$tests")
  if "$tests" --gtest_brief=1 >"$out/$name.txt" 2>&1; then
    echo "ok      $name: $(tail -n 1 "$out/$name.txt")"
  else
    echo "FAILED  $name: $(tail -n 3 "$out/$name.txt" | tr '\n' ' ')"
    failed=1
  fi
done

step "the same training on both devices"
models=models/fixtures
python3 - "$out/data.npz" <<'PY' || failed=1
import sys
import numpy as np
rows = np.random.default_rng(0)
np.savez(sys.argv[1], input=rows.standard_normal((512, 64), dtype=np.float32), labels=rows.integers(0, 10, 512))
PY
for precision in fp32 bf16 fp16; do
  for device in cpu cuda; do
    must "$mezzo" train $models/mlp.ts17.onnx --data "$out/data.npz" --batch 64 --steps 200 --optimizer adamw --lr 1e-3 --seed 1 \
      --precision $precision --device $device --log "$out/$precision-$device.jsonl" --out "$out/$precision-$device.onnx"
  done
  must python3 - "$out/$precision-cpu.jsonl" "$out/$precision-cuda.jsonl" "$precision" <<'PY'
import json, sys
a, b = ([json.loads(line)["loss"] for line in open(path) if "grad_norm" in line] for path in sys.argv[1:3])
worst = max(abs(x - y) / abs(x) for x, y in zip(a, b))
bound = {"fp32": 1e-3, "bf16": 5e-2, "fp16": 2e-2}[sys.argv[3]]
print(f"{sys.argv[3]}: {len(a)} losses, relative difference at most {worst:.2g} (bound {bound})")
sys.exit(len(a) != len(b) or not a or worst > bound)
PY
done
must "$mezzo" train $models/mlp.ts17.onnx --data "$out/data.npz" --batch 64 --steps 200 --optimizer adamw --lr 1e-3 --seed 1 \
  --precision bf16 --device cuda --out "$out/again.onnx"
must cmp "$out/bf16-cuda.onnx" "$out/again.onnx"  # bit for bit

step "compute-sanitizer"
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    must compute-sanitizer --tool $tool --error-exitcode 9 "$mezzo" train $models/mlp.ts17.onnx --data "$out/data.npz" --batch 64 \
      --steps 4 --precision fp16 --device cuda --cache-dir none --out "$out/sanitized.onnx" >"$out/$tool.txt" 2>&1
    echo "$tool: $(tail -n 1 "$out/$tool.txt")"
  done
else
  echo "compute-sanitizer is not here"
fi

step "beside PyTorch"
if python3 -c "import torch; assert torch.cuda.is_available()" 2>/dev/null; then
  must python3 tests/bench/compare_gpu.py --mezzo "$mezzo" --models "$build/mezzo-models" --out "$out/compare.md"
else
  echo "python3 has no torch with CUDA here"
fi
exit $failed

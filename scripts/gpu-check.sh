#!/usr/bin/env bash
# gpu-check.sh [BUILD] [OUT] [STEP...]: everything that wants a real GPU, on a machine that has one. Uses what the gpu-portable
# preset built (BUILD, default build-gpu), the files of this repository and the machine's own python3 (numpy; PyTorch is
# compared where it has that). Without STEPs all of them: device training tests agreement sanitizer compare. Fails when a
# check does; the output is left in OUT (default gpu-check).
#
# MEZZO_REHEARSE=1 makes everything small: for machines whose GPU is the fake driver's (docs/cuda.md).
set -uo pipefail
cd "$(dirname "$0")/.."
build=$(realpath -m "${1:-build-gpu}") out=$(realpath -m "${2:-gpu-check}")
steps=("${@:3}")
python=${MEZZO_PYTHON:-python3}
small=${MEZZO_REHEARSE:-}
mezzo=$build/mezzo
if [ ! -x "$mezzo" ]; then
  echo "no $mezzo: build it with cmake --preset gpu-portable && cmake --build --preset gpu-portable"
  exit 2
fi
# The tests look for their files here, not where they were built. Those on the simulator compile with this compiler.
export MEZZO_SOURCE_DIR=$PWD MEZZO_BINARY_DIR=$build
compiler=$(command -v "${MEZZO_COMPILER:-c++}") && export MEZZO_COMPILER=$compiler
mkdir -p "$out"
failed=0

fail() { echo "FAILED: $*"; failed=1; }
must() { "$@" || fail "$*"; }
# wanted STEP TITLE: whether it was asked for.
wanted() {
  [ ${#steps[@]} -eq 0 ] || [[ " ${steps[*]} " == *" $1 "* ]] || return 1
  echo
  echo "== $2"
}
for step in "${steps[@]}"; do
  [[ " device training tests agreement sanitizer compare " == *" $step "* ]] || { echo "there is no step '$step'"; exit 2; }
done
# tests NAME FILTER FILE [VARIABLE=VALUE...]: a test program; without tests that ran it fails.
tests() {
  env "${@:4}" "$build/$1" --gtest_brief=1 --gtest_filter="$2" >"$3" 2>&1 || { tail -n 30 "$3"; fail "$1, see $3"; return; }
  grep -Eq '\[  PASSED  \] [1-9]' "$3" || fail "$1: no test ran for $2"
  echo "ok      $1: $(grep -E '\[  PASSED  \]' "$3")$(grep -c '\[  SKIPPED \]' "$3" | sed 's/^0$//; s/..*/, & skipped/')"
}

echo "== what is found"
"$mezzo" doctor | tee "$out/doctor.txt" || failed=1
"$mezzo" doctor --json >"$out/doctor.json"
if ! grep -q '"what": "cuda device"' "$out/doctor.json" || grep -q '"lost": "no cuda device"' "$out/doctor.json"; then
  echo "no usable GPU on this machine"
  exit 1
fi

filter=${small:+*Matmul*}
wanted device "the tests of the device, on this one" &&
  tests cuda_device_tests "${filter:-*}" "$out/device.txt" MEZZO_TEST_REAL_DEVICE=1

filter=${small:+*FixtureGradients*mlp_ts17*}
wanted training "the training tests of the CPU, on this device" &&
  tests runtime_tests "${filter:-*Fixture*:*RandomNets*:*RangeRules*:Session.*:WeightCopies.*:Checkpoints.*:LabelSmoothing.*:Schedule.*}:-*_reference" "$out/training.txt" \
    MEZZO_TEST_DEVICE=cuda

if wanted tests "all tests"; then
  for program in "$build"/*_tests; do
    name=$(basename "$program")
    case $name in cuda_kernels_tests | cuda_device_tests | cli_tests)
      [ -n "$compiler" ] || { echo "left out $name: the simulator needs a C++ compiler (MEZZO_COMPILER)"; continue; } ;;
    esac
    filter=${small:+*Text*:*Plan*:*Walk*:*Npz*:*Idx*:*Simulator*:*Loader*:*VerbsItNames*:*Declarations*:*Copies*}
    tests "$name" "${filter:-*}" "$out/$name.txt"
  done
fi

model=models/fixtures/mlp.ts17.onnx count=${small:+6}
train() {  # PRECISION DEVICE OUT [flags]
  "$mezzo" train $model --data "$out/data.npz" --batch 64 --steps "${count:-200}" --optimizer adamw --lr 1e-3 --seed 1 \
    --precision "$1" --device "$2" --out "$3" "${@:4}" >>"$out/train.txt" 2>&1
}
data() {
  [ -f "$out/data.npz" ] || "$python" - "$out/data.npz" <<'PY'
import sys
import numpy as np
rows = np.random.default_rng(0)
np.savez(sys.argv[1], input=rows.standard_normal((512, 64), dtype=np.float32), labels=rows.integers(0, 10, 512))
PY
}

if wanted agreement "the same training on both devices"; then
  must data
  for precision in fp32 bf16 fp16; do
    for device in cpu cuda; do
      must train $precision $device "$out/$precision-$device.onnx" --log "$out/$precision-$device.jsonl"
    done
    must "$python" - "$out/$precision-cpu.jsonl" "$out/$precision-cuda.jsonl" "$precision" <<'PY'
import json, sys
a, b = ([json.loads(line)["loss"] for line in open(path) if "grad_norm" in line] for path in sys.argv[1:3])
worst = max((abs(x - y) / abs(x) for x, y in zip(a, b)), default=0)
bound = {"fp32": 1e-3, "bf16": 5e-2, "fp16": 2e-2}[sys.argv[3]]
print(f"{sys.argv[3]}: {len(a)} losses, relative difference at most {worst:.2g} (bound {bound})")
sys.exit(len(a) != len(b) or not a or worst > bound)
PY
  done
  must train bf16 cuda "$out/again.onnx"
  must cmp "$out/bf16-cuda.onnx" "$out/again.onnx"  # bit for bit
fi

if wanted sanitizer "compute-sanitizer"; then
  if command -v compute-sanitizer >/dev/null; then
    must "$build/mezzo-models" gpt2 "$out/gpt2.onnx" --seq 24 --layers 1 --hidden 64 --heads 2 --vocab 97
    for tool in memcheck racecheck initcheck synccheck; do
      for net in mlp lenet tagger gpt2; do
        path=models/fixtures/$net.ts17.onnx
        [ $net != gpt2 ] || path=$out/gpt2.onnx
        compute-sanitizer --tool $tool --error-exitcode 9 "$mezzo" bench "$path" --batch 4 --steps 2 \
          --precision fp16 --device cuda --cache-dir none >"$out/$tool-$net.txt" 2>&1 || fail "$tool, see $out/$tool-$net.txt"
        echo "$tool, $net: $(tail -n 1 "$out/$tool-$net.txt")"
      done
    done
  else
    echo "compute-sanitizer is not here"
  fi
fi

if wanted compare "beside PyTorch"; then
  flags=(${small:+--small --steps 2 --only mlp,bert_base-32,gpt2-16})
  if ! "$python" -c "import numpy" 2>/dev/null; then
    fail "$python has no numpy"
  elif [ -z "$small" ] && ! "$python" -c "import torch; assert torch.cuda.is_available()" 2>/dev/null; then
    echo "$python has no torch with CUDA here: Mezzo alone"
    flags+=(--without-torch)
  fi
  [ -z "$small" ] || flags+=(--without-torch)
  must "$python" tests/bench/compare_gpu.py --mezzo "$mezzo" --models "$build/mezzo-models" --out "$out/compare.md" "${flags[@]}"
fi
exit $failed

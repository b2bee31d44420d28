#!/usr/bin/env bash
# rehearsal.sh BUILD: scripts/gpu-check.sh on the fake device, in miniature, with every step: so each flag, test filter, file
# and line of python in it is tried. Steps that need numpy are left out where python3 (or MEZZO_PYTHON) has none.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "$1")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export PATH=$here/stubs:$PATH MEZZO_REHEARSE=1 MEZZO_CUDA_PATH=$build/fake_cuda MEZZO_DEBUG=no_cudnn XDG_CACHE_HOME=$out/cache
python=${MEZZO_PYTHON:-python3}
steps=(device training tests)
if "$python" -c "import numpy" 2>/dev/null; then
  steps+=(agreement sanitizer compare)
  "$python" "$here/compare_gpu_test.py"
else
  echo "$python has no numpy: three steps are left out"
fi
cd /  # nothing depends on where it is called
for step in "${steps[@]}"; do
  "$here/../../scripts/gpu-check.sh" "$build" "$out" "$step" || { echo "step $step failed"; exit 1; }
done
# A step that does not exist, and a GPU that does not: not 0.
"$here/../../scripts/gpu-check.sh" "$build" "$out" nonsense >/dev/null && { echo "a wrong step passes"; exit 1; }
MEZZO_DEBUG=no_cuda MEZZO_CUDA_PATH=$out "$here/../../scripts/gpu-check.sh" "$build" "$out" device >/dev/null 2>&1 && { echo "no GPU passes"; exit 1; }
if [ -f "$out/compare.md" ]; then
  cat "$out/compare.md"
  [ "$(grep -c '^| \(mlp\|bert\|gpt2\)' "$out/compare.md")" -eq 6 ]
  if grep failed "$out/compare.md"; then exit 1; fi
fi
if "$python" -c "import torch" 2>/dev/null; then  # PyTorch's side, on the CPU; torch.compile takes minutes
  "$python" "$here/../bench/compare_gpu.py" --mezzo "$build/mezzo" --models "$build/mezzo-models" --small --steps 2 --device cpu --modes "" \
    --precision bf16 --only mlp,lenet,bert_base-32,gpt2-16 | tee "$out/cpu.txt"
  [ "$(wc -l <"$out/cpu.txt")" -eq 4 ]
  if grep failed "$out/cpu.txt"; then exit 1; fi
fi

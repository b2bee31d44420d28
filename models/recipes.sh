#!/usr/bin/env bash
# recipes.sh: the two recipes of docs/training.md at a size for any machine, on real data: a ResNet on handwritten digits
# in JPEG files, one folder per class, and a BERT that tells what kind of file of this project a passage is from. Leaves
# models, logs and checkpoints in out/recipes.
set -euo pipefail
cd "$(dirname "$0")/.."
out=out/recipes
mkdir -p $out

# Without crops and flips, which make other digits of digits.
echo "== ResNet-18 (width 8) on a folder of JPEG files"
rm -rf $out/digits $out/resnet_run
build/mezzo-models digits_folder models/digits.npz $out/digits
build/mezzo-models resnet18 $out/resnet.onnx --image 16 --classes 10 --width 8
build/mezzo train $out/resnet.onnx --data $out/digits --eval $out/digits --batch 16 --accumulate 2 --epochs 5 --no-augment --seed 1 \
  --optimizer sgd --lr 0.1 --momentum 0.9 --weight-decay 1e-4 --schedule step --lr-period 2e --precision bf16 \
  --best $out/resnet_best.onnx --checkpoint $out/resnet_run --resume --log $out/resnet.jsonl --out $out/resnet_trained.onnx

echo "== BERT (2 layers of 64) on passages of prose, C++, Python and build scripts"
head -q -c 4000 docs/*.md README.md >$out/prose.txt
head -q -c 1500 runtime/*.cpp >$out/cpp.txt
head -q -c 5000 models/*.py tests/bench/*.py >$out/python.txt
head -q -c 5000 cmake/* scripts/*.sh CMakeLists.txt >$out/build.txt
vocabulary=$(build/mezzo-models passages $out/{prose,cpp,python,build}.txt $out/train.npz $out/test.npz --seq 24)
build/mezzo-models bert_base $out/bert.onnx --layers 2 --hidden 64 --heads 4 --seq 24 --vocab "$vocabulary" --classes 4
build/mezzo train $out/bert.onnx --data $out/train.npz --eval $out/test.npz --batch 32 --epochs 2 --seed 1 \
  --optimizer adamw --lr 1e-3 --weight-decay 0.01 --no-decay-on-vectors --schedule linear --warmup 10% --clip-norm 1 \
  --best $out/bert_best.onnx --log $out/bert.jsonl --out $out/bert_trained.onnx

echo "== accuracy of the best models"
for model in resnet bert; do
  grep -o '"eval_top1": *[0-9.]*' $out/$model.jsonl | sort -t: -k2 -g | tail -n 1 | sed "s/.*: */$model /"
done

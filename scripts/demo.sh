#!/usr/bin/env bash
# demo.sh: set-up, build, then the whole way on real data: handwritten digits, trained from an ONNX file in three
# precisions. Leaves the trained models, logs, precision plans and pass dumps in out/.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/build.sh
mezzo=build/mezzo
mkdir -p out
build/mezzo-models digits_cnn out/digits_cnn.onnx
build/mezzo-models split models/digits.npz out/train.npz out/test.npz

echo "== the model, and whether it can be trained"
$mezzo check out/digits_cnn.onnx --batch 32 --loss cross_entropy

start=$SECONDS
for precision in fp32 bf16 fp16; do
  echo "== training in $precision"
  $mezzo train out/digits_cnn.onnx --data out/train.npz --eval out/test.npz --batch 32 --epochs 15 --seed 1 \
    --loss cross_entropy --optimizer adamw --lr 1e-3 --precision $precision \
    --log out/$precision.jsonl --out out/digits_$precision.onnx
done
echo "== three trainings of 15 epochs took $((SECONDS - start)) s"

echo "== what the compiler did (bf16)"
$mezzo compile out/digits_cnn.onnx --batch 32 --loss cross_entropy --optimizer adamw --lr 1e-3 --precision bf16 --dump out/dump
ls out/dump

echo "== accuracy on the 360 test images"
for precision in fp32 bf16 fp16; do
  grep eval_top1 out/$precision.jsonl | tail -n 1 | sed "s/.*\"eval_top1\": *\([0-9.]*\).*/$precision \1/"
done

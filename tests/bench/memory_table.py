#!/usr/bin/env python3
"""Peak resident memory of training on the CPU beside the memory plan and PyTorch's, as a table.

    python3 tests/bench/memory_table.py [--only bert_base] [--precision fp32,bf16] [--out docs/measurements/memory.md]

Networks and optimizers of compare_large.py, at batches that are common on a CPU. Every contender is a process of its own; its peak is VmHWM, less what was
resident before the model was made (libraries). Load on the machine does not change these numbers, so a few steps are enough.
"""
import argparse
import os
import tempfile

from compare_large import run_mezzo, run_other

BATCH = {"resnet50": 16, "bert_base": 8, "resnet18": 64, "gpt2": 2}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--mezzo", default="build/mezzo")
    ap.add_argument("--models", default="build/mezzo-models")
    ap.add_argument("--steps", type=int, default=1)
    ap.add_argument("--threads", type=int, default=os.cpu_count())
    ap.add_argument("--precision", default="fp32,bf16")
    ap.add_argument("--only", default="resnet50,bert_base")
    ap.add_argument("--seq", type=int, default=0)
    ap.add_argument("--limit", type=float, default=1, help="seconds after which PyTorch begins no further step")
    ap.add_argument("--out")
    args = ap.parse_args()
    lines = ["| net | batch | precision | planned MiB | Mezzo's peak MiB | to plan | PyTorch's peak MiB | to PyTorch |",
             "|---|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for net in args.only.split(","):
            args.batch = BATCH[net]
            for precision in args.precision.split(","):
                mezzo = run_mezzo(args, net, precision, folder)
                torch = run_other(args, net, precision, "eager")
                planned = mezzo["planned_bytes"] / 2**20
                own = (mezzo["peak_bytes"] - mezzo["libraries_bytes"]) / 2**20
                other = (torch["peak_bytes"] - torch["libraries"]) / 2**20 if torch else float("nan")
                lines.append(f"| {net} | {args.batch} | {precision} | {planned:.0f} | {own:.0f} | {own / planned:.2f} | {other:.0f} | "
                             f"{own / other:.2f} |")
                print(lines[-1], flush=True)
    if args.out:
        with open(args.out, "w") as f:
            f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

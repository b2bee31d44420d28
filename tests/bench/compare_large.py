#!/usr/bin/env python3
"""Full-size networks: ms per step, peak memory and compile time of Mezzo beside PyTorch eager and torch.compile.

    python3 tests/bench/compare_large.py [--only bert_base] [--batch N] [--seq N] [--steps 5] [--limit 30]
                                         [--precision fp32,bf16] [--no-compile] [--out TABLE.md]

Every contender runs in a process of its own, one after the other, so that its largest resident size is its own; PyTorch's
includes its libraries, whose size after import is printed beside it. Same network, batch, optimizer (SGD with momentum for
the convolution networks, AdamW for the others) and number of threads; random data. PyTorch with channels_last, bf16 through
autocast, its fused optimizers. Median of the steps after warm-up; a contender that is slow stops after --limit seconds, with
one step at least, and the table says after how many. Sizes fit a small machine; --batch and --seq choose others.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

# name: sizes of mezzo-models, batch, what is fed, optimizer
NETS = {
    "resnet18": (["--image", "32", "--classes", "10"], 64, "image", "sgd"),
    "resnet50": ([], 4, "image", "sgd"),
    "bert_base": ([], 2, "sentences", "adamw"),
    "gpt2": ([], 1, "tokens", "adamw"),
}
SEQUENCE = {"bert_base": 128, "gpt2": 256}
LR = {"sgd": ["--lr", "0.01", "--momentum", "0.9"], "adamw": ["--lr", "1e-4"]}


def peak_bytes():
    # Not getrusage's, which a process inherits from the one that started it.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def run_torch(args, net, precision, compiled):
    import torch
    import torch.nn.functional as F
    import torch_nets
    libraries = peak_bytes()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    _, batch, feed, optimizer = NETS[net]
    batch, sequence = args.batch or batch, args.seq or SEQUENCE.get(net)
    if feed == "image":
        model = torch_nets.resnet18() if net == "resnet18" else torch_nets.resnet50()
        model = model.to(memory_format=torch.channels_last)
        side = 32 if net == "resnet18" else 224
        inputs = [torch.randn(batch, 3, side, side).to(memory_format=torch.channels_last)]
        labels = torch.randint(0, 10, (batch,))
    elif feed == "sentences":
        model, ids = torch_nets.Bert(sequence=sequence), torch.randint(0, 30522, (batch, sequence))
        inputs, labels = [ids, torch.ones_like(ids), torch.zeros_like(ids)], torch.randint(0, 2, (batch,))
    else:
        model, ids = torch_nets.Gpt2(sequence=sequence), torch.randint(0, 50257, (batch, sequence))
        inputs, labels = [ids], torch.randint(0, 50257, ids.shape)
    model.train()
    opt = (torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True) if optimizer == "sgd"
           else torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True))

    def loss_of(*args):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            scores = model(*args[:-1]).float()
            return F.cross_entropy(scores.flatten(0, -2), args[-1].flatten())

    step = torch.compile(loss_of) if compiled else loss_of
    times, warm_up, begin = [], 1, time.perf_counter()
    while len(times) < warm_up + args.steps and (len(times) < warm_up + 1 or time.perf_counter() - begin < args.limit):
        start = time.perf_counter()
        opt.zero_grad(set_to_none=True)
        step(*inputs, labels).backward()
        opt.step()
        times.append((time.perf_counter() - start) * 1e3)
    first, times = times[0], times[warm_up:]
    median = statistics.median(times)
    return {"ms_median": median, "ms_min": min(times), "steps": len(times), "compile_ms": max(0, first - median),
            "peak_bytes": peak_bytes(), "libraries": libraries}


def run_mezzo(args, net, precision, folder):
    sizes, batch, feed, optimizer = NETS[net]
    batch, sequence = args.batch or batch, args.seq or SEQUENCE.get(net)
    data = ["--batch", str(batch)]
    if net in SEQUENCE:  # random data of the bench's own would be two words, and not say what the labels of gpt2 are
        sizes = sizes + ["--seq", str(sequence)]
        data = ["--feed", os.path.join(folder, net + ".npz")]
        ids = np.random.default_rng(0).integers(0, 30522 if feed == "sentences" else 50257, (batch, sequence))
        rest = {"attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids), "labels": ids[:, 0] % 2}
        np.savez(data[1], input_ids=ids, **(rest if feed == "sentences" else {"labels": np.roll(ids, -1, axis=1)}))
    path = os.path.join(folder, net + ".onnx")
    if not os.path.exists(path):
        subprocess.run([args.models, net, path, *sizes], check=True)
    command = [args.mezzo, "bench", path, *data, "--steps", str(args.steps), "--optimizer", optimizer, *LR[optimizer],
               "--precision", precision, "--threads", str(args.threads), "--cache-dir", "none", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{net} {precision}: {done.stderr.strip()}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def run_other(args, net, precision, contender):
    command = [sys.executable, __file__, "--contender", contender, "--only", net, "--precision", precision, "--steps", str(args.steps),
               "--threads", str(args.threads), "--batch", str(args.batch), "--seq", str(args.seq), "--limit", str(args.limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{net} {precision} {contender}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--mezzo", default="build/mezzo")
    ap.add_argument("--models", default="build/mezzo-models")
    ap.add_argument("--steps", type=int, default=5)
    ap.add_argument("--batch", type=int, default=0)
    ap.add_argument("--seq", type=int, default=0)
    ap.add_argument("--limit", type=float, default=30, help="seconds after which a contender begins no further step")
    ap.add_argument("--threads", type=int, default=os.cpu_count())
    ap.add_argument("--precision", default="fp32,bf16")
    ap.add_argument("--only")
    ap.add_argument("--no-compile", action="store_true")
    ap.add_argument("--contender", help=argparse.SUPPRESS)
    ap.add_argument("--out")
    args = ap.parse_args()
    if args.contender:
        print(json.dumps(run_torch(args, args.only, args.precision, args.contender == "compile")))
        return
    lines = ["| net | batch | precision | contender | ms per step, median (min) | to eager | peak MiB | planned MiB | compile s |",
             "|---|---|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for net in NETS:
            if args.only and net != args.only:
                continue
            for precision in args.precision.split(","):
                eager = run_other(args, net, precision, "eager")
                rows = [("torch eager", eager)]
                if not args.no_compile:
                    rows.append(("torch.compile", run_other(args, net, precision, "compile")))
                rows.append(("mezzo", run_mezzo(args, net, precision, folder)))
                for name, r in rows:
                    if not r:
                        lines.append(f"| {net} | {args.batch or NETS[net][1]} | {precision} | {name} | failed | | | | |")
                        continue
                    ratio = f"{r['ms_median'] / eager['ms_median']:.2f}" if eager else ""
                    peak = f"{r['peak_bytes'] / 2**20:.0f}" + (f" ({r['libraries'] / 2**20:.0f} libraries)" if "libraries" in r else "")
                    planned = f"{r['planned_bytes'] / 2**20:.0f}" if "planned_bytes" in r else ""
                    lines.append(f"| {net} | {args.batch or NETS[net][1]} | {precision} | {name} | {r['ms_median']:.0f} ({r['ms_min']:.0f}, {r['steps']} steps) | {ratio} | "
                                 f"{peak} | {planned} | {r['compile_ms'] / 1e3:.1f} |")
                print("\n".join(lines[-len(rows):]), flush=True)
    if args.out:
        import compare_torch
        with open(args.out, "a") as f:
            f.write("\n".join(compare_torch.head(args, os.getloadavg()[0]) + lines) + "\n\n")


if __name__ == "__main__":
    main()

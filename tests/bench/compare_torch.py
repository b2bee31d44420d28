#!/usr/bin/env python3
"""Milliseconds per training step: Mezzo beside PyTorch eager and torch.compile, in one run.

    python3 tests/bench/compare_torch.py [--mezzo build/mezzo] [--models build/mezzo-models] [--steps 60] [--out TABLE.md]

Same graph, batch, data type policy, optimizer (SGD with momentum) and thread count; random data; warm-up first. PyTorch at
its usual best on a CPU: bf16 through autocast, set_to_none, the faster of channels_last and not for convolution nets,
torch.compile in its default mode (needs a C++ compiler). The rounds of the three interleave, so that a slow phase of the
machine hits all; every figure is the median over the rounds of each round's median, the minimum that of all steps. A ratio
below 1 means that Mezzo is faster.
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import tempfile
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class DigitsCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.fc = nn.Linear(64 * 4 * 4, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x * (1 / 16))))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.fc(F.max_pool2d(x, 2).flatten(1))


def mlp():
    return nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


NETS = {"mlp": (mlp, (784,), 256), "lenet": (LeNet, (1, 28, 28), 256), "digits_cnn": (DigitsCnn, (1, 8, 8), 64)}


class TorchStep:
    def __init__(self, make, shape, batch, precision, compiled, channels_last):
        torch.manual_seed(0)
        self.net = make().train()
        self.x, self.y = torch.randn(batch, *shape), torch.randint(0, 10, (batch,))
        if channels_last and len(shape) == 3:
            self.net, self.x = self.net.to(memory_format=torch.channels_last), self.x.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.01, momentum=0.9, fused=True)
        self.bf16 = precision == "bf16"
        self.loss = torch.compile(self.forward) if compiled else self.forward

    def forward(self, x, y):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            return F.cross_entropy(self.net(x), y)

    def run(self, steps):
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(self.x, self.y).backward()
            self.optimizer.step()
            times.append((time.perf_counter() - start) * 1e3)
        return times

    def round(self, steps):
        times = self.run(steps)
        return statistics.median(times), min(times)


def over_rounds(rounds):
    return statistics.median(r[0] for r in rounds), min(r[1] for r in rounds)


def machine():
    """The processor, and which of the instructions that decide the speed of products it has."""
    name, flags = "unknown processor", set()
    with open("/proc/cpuinfo") as f:
        for line in f:
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() == "flags":
                flags = set(value.split())
    wanted = ["avx2", "fma", "f16c", "avx512f", "avx512_bf16", "amx_bf16", "avx512_fp16"]
    native = flags & {"avx512_bf16", "amx_bf16"}
    return (f"{name}: has {', '.join(w for w in wanted if w in flags) or 'none of the features below'}; lacks "
            f"{', '.join(w for w in wanted if w not in flags) or 'nothing'}. "
            + ("bf16 products run in hardware." if native else
               "Without avx512_bf16 and amx_bf16 no library multiplies bf16 in hardware: bf16 saves memory, not time."))


def head(args, begin_load):
    def git(*words):
        return subprocess.run(["git", *words], capture_output=True, text=True).stdout.strip()
    commit = git("rev-parse", "--short", "HEAD") + (" with local changes" if git("status", "--porcelain", "-uno") else "")
    load = max(begin_load, os.getloadavg()[0])
    shared = (f"The machine was shared: load average {load:.1f} on {os.cpu_count()} cores; only the ratios mean something."
              if load > args.threads + 0.5 else f"Load average {load:.1f} on {os.cpu_count()} cores.")
    return [f"{datetime.date.today()}, commit {commit}, torch {torch.__version__}, {args.threads} threads; ms per step, median "
            f"(minimum), {getattr(args, 'rounds', 1)} rounds of {args.steps} steps.", machine(), shared, ""]


def mezzo(args, net, batch, precision, folder):
    path = os.path.join(folder, net + ".onnx")
    if not os.path.exists(path):
        subprocess.run([args.models, net, path], check=True)
    command = [args.mezzo, "bench", path, "--batch", str(batch), "--steps", str(args.steps), "--loss", "cross_entropy",
               "--optimizer", "sgd", "--lr", "0.01", "--momentum", "0.9", "--precision", precision, "--threads", str(args.threads),
               "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--mezzo", default="build/mezzo")
    ap.add_argument("--models", default="build/mezzo-models")
    ap.add_argument("--steps", type=int, default=60)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--threads", type=int, default=os.cpu_count())
    ap.add_argument("--no-compile", action="store_true")
    ap.add_argument("--only")
    ap.add_argument("--out")
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    begin_load = os.getloadavg()[0]
    lines = ["| net | batch | precision | mezzo | torch eager | torch.compile | mezzo / eager | mezzo / compile |",
             "|---|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for net, (make, shape, batch) in NETS.items():
            if args.only and net != args.only:
                continue
            for precision in ("fp32", "bf16"):
                eager = [TorchStep(make, shape, batch, precision, False, last) for last in (False, True)]
                compiled = None if args.no_compile else TorchStep(make, shape, batch, precision, True, False)
                for step in eager + ([compiled] if compiled else []):
                    step.run(max(args.steps // 3, 5))
                ours, theirs, best = [], [[] for _ in eager], []
                for _ in range(args.rounds):
                    report = mezzo(args, net, batch, precision, folder)
                    ours.append((report["ms_median"], report["ms_min"]))
                    for rounds, step in zip(theirs, eager):
                        rounds.append(step.round(args.steps))
                    if compiled:
                        best.append(compiled.round(args.steps))
                m, c = over_rounds(ours), over_rounds(best) if best else None
                e = min(over_rounds(rounds) for rounds in theirs)
                cell = lambda v: f"{v[0]:.3f} ({v[1]:.3f})" if v else "-"
                lines.append(f"| {net} | {batch} | {precision} | {cell(m)} | {cell(e)} | {cell(c)} | {m[0] / e[0]:.2f} | "
                             + (f"{m[0] / c[0]:.2f} |" if c else "- |"))
                print(lines[-1], flush=True)
    print("\n".join(head(args, begin_load)))
    if args.out:
        with open(args.out, "w") as f:
            f.write("\n".join(head(args, begin_load) + lines) + "\n")


if __name__ == "__main__":
    main()

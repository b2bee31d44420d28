#!/usr/bin/env python3
"""On a GPU: milliseconds per training step of Mezzo (--device cuda) beside PyTorch eager AMP and torch.compile, in one run.

    python3 tests/bench/compare_gpu.py --mezzo build-gpu/mezzo --models build-gpu/mezzo-models [--only gpt2-16] [--out TABLE.md]

Same network, batch, data types, optimizer and batch of data, which stays the same; random numbers, never zeros. PyTorch at
its best settings: channels_last, cudnn.benchmark, TF32 for what is left in f32, fused optimizers, GradScaler for fp16,
set_to_none, and torch.compile in both of its modes (default, and max-autotune with CUDA graphs), the faster of which is
shown. Mezzo with strict numerics, which round as the precision plan says, and with excess ones, as PyTorch has them. Every
contender runs in a process of its own. Median of the steps after warm-up. Peak memory is what the device has in use beyond
what it had before the process, the driver's context included, planned what Mezzo's plan says; kernels per step are the nodes of Mezzo's
graph; the floor is gpu_floor.py's. Mezzo copies its batch from the host every step, PyTorch's stays on the device. A contender that
fails makes the script fail. --small is a rehearsal: tiny networks, which --device cpu and
machines without a GPU can do.
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

import gpu_floor
from device_memory import DeviceMemory, device_name

# name: network, batch, sequence, optimizer
CASES = {
    "mlp": ("mlp", 256, 0, "sgd"),
    "lenet": ("lenet", 256, 0, "sgd"),
    "resnet50": ("resnet50", 256, 0, "sgd"),
    "bert_base-32": ("bert_base", 32, 128, "adamw"),
    "bert_base-256": ("bert_base", 256, 128, "adamw"),
    "gpt2-16": ("gpt2", 16, 1024, "adamw"),
    "gpt2-64": ("gpt2", 64, 1024, "adamw"),
}
LR = {"sgd": ["--lr", "0.01", "--momentum", "0.9"], "adamw": ["--lr", "1e-4"]}
WARM_UP = 12


class Sizes:
    """What the networks of a run are built with."""

    def __init__(self, case, small):
        self.net, self.batch, self.sequence, self.optimizer = CASES[case]
        self.image, self.classes = (32, 10) if small else (224, 1000)
        self.layers, self.hidden, self.heads = (1, 32, 2) if small else (12, 768, 12)
        self.vocabulary = 97 if small else 50257 if self.net == "gpt2" else 30522
        if small:
            self.batch, self.sequence = 2, min(self.sequence, 16)

    def flags(self):
        """Of mezzo-models."""
        if self.net == "resnet50":
            return ["--image", str(self.image), "--classes", str(self.classes)]
        if self.net in ("bert_base", "gpt2"):
            return ["--seq", str(self.sequence), "--layers", str(self.layers), "--hidden", str(self.hidden), "--heads", str(self.heads),
                    "--vocab", str(self.vocabulary)]
        return []

    def batch_of_data(self):
        """Arrays by the names of the model's inputs, and the labels."""
        random = np.random.default_rng(0)
        images = {"mlp": (784,), "lenet": (1, 28, 28), "resnet50": (3, self.image, self.image)}
        if self.net in images:
            x = random.standard_normal((self.batch, *images[self.net]), dtype=np.float32)
            return {"input": x, "labels": random.integers(0, self.classes if self.net == "resnet50" else 10, self.batch)}
        ids = random.integers(0, self.vocabulary, (self.batch, self.sequence))
        if self.net == "gpt2":
            return {"input_ids": ids, "labels": random.integers(0, self.vocabulary, ids.shape)}
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids),
                "labels": random.integers(0, 2, self.batch)}

    def torch_model(self):
        import compare_torch
        import torch_nets
        common = dict(layers=self.layers, hidden=self.hidden, heads=self.heads, sequence=self.sequence, vocabulary=self.vocabulary)
        return {"mlp": compare_torch.mlp, "lenet": compare_torch.LeNet, "bert_base": lambda: torch_nets.Bert(**common),
                "gpt2": lambda: torch_nets.Gpt2(**common), "resnet50": lambda: torch_nets.resnet50(self.image, self.classes)}[self.net]()


def run_process(command):
    """Standard output, peak device memory and seconds; None where it failed, whose last line is shown."""
    memory = DeviceMemory()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    memory.start()
    out, err = process.communicate()
    peak = memory.stop()
    if process.returncode:
        print(" ".join(command[:6]), "failed:", (err.strip().splitlines() or ["no message"])[-1], file=sys.stderr)
        return None
    return out, peak


def torch_step(sizes, precision, mode, device):
    import torch
    import torch.nn.functional as F
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    data = {name: torch.from_numpy(array).to(device) for name, array in sizes.batch_of_data().items()}
    labels, inputs = data.pop("labels"), list(data.values())
    model = sizes.torch_model().to(device).train()
    if inputs[0].dim() == 4:
        model = model.to(memory_format=torch.channels_last)
        inputs = [x.to(memory_format=torch.channels_last) for x in inputs]
    opt = (torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True) if sizes.optimizer == "sgd"
           else torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True))
    low = torch.bfloat16 if precision == "bf16" else torch.float16
    scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")

    def loss_of(*args):
        with torch.autocast(device, low):
            return F.cross_entropy(model(*args[:-1]).float().flatten(0, -2), args[-1].flatten())

    loss = loss_of if mode == "eager" else torch.compile(loss_of, mode=None if mode == "default" else mode)

    def step():
        opt.zero_grad(set_to_none=True)
        scaler.scale(loss(*inputs, labels)).backward()
        scaler.step(opt)
        scaler.update()
    return step, torch


def run_torch(args):
    cuda = args.device == "cuda"
    step, torch = torch_step(Sizes(args.only, args.small), args.precision, args.contender, args.device)
    wait = torch.cuda.synchronize if cuda else lambda: None
    start = time.perf_counter()
    step()
    wait()
    first = (time.perf_counter() - start) * 1e3
    for _ in range(0 if args.small else WARM_UP):
        step()
    if cuda:
        events = [torch.cuda.Event(enable_timing=True) for _ in range(args.steps + 1)]
        events[0].record()
        for event in events[1:]:
            step()
            event.record()
        wait()
        times = [a.elapsed_time(b) for a, b in zip(events, events[1:])]
    else:
        marks = [time.perf_counter()]
        for _ in range(args.steps):
            step()
            marks.append(time.perf_counter())
        times = [(b - a) * 1e3 for a, b in zip(marks, marks[1:])]
    median = statistics.median(times)
    return {"ms_median": median, "ms_min": min(times), "compile_ms": max(0.0, first - median),
            "allocated": torch.cuda.max_memory_allocated() if cuda else 0}


def run_other(args, case, precision, mode):
    command = [sys.executable, __file__, "--contender", mode, "--only", case, "--precision", precision, "--steps", str(args.steps),
               "--device", args.device] + (["--small"] if args.small else [])
    done = run_process(command)
    return None if done is None else dict(json.loads(done[0].splitlines()[-1]), peak=done[1])


def run_mezzo(args, case, precision, numerics, folder):
    sizes = Sizes(case, args.small)
    path, feed = os.path.join(folder, case + ".onnx"), os.path.join(folder, case + ".npz")
    if not os.path.exists(path):
        subprocess.run([args.models, sizes.net, path, *sizes.flags()], check=True)
        np.savez(feed, **sizes.batch_of_data())
    cache = os.path.join(folder, f"cache-{case}-{precision}-{numerics}")
    command = [args.mezzo, "bench", path, "--feed", feed, "--steps", str(args.steps), "--optimizer", sizes.optimizer, *LR[sizes.optimizer],
               "--precision", precision, "--numerics", numerics, "--device", args.device, "--cache-dir", cache, "--json"]
    runs = [run_process(command) for _ in range(2)]  # the first fills the cache
    if None in runs:
        return None
    cold, warm = (json.loads(out) for out, _ in runs)
    return dict(warm, cold_ms=cold["compile_ms"], peak=runs[1][1])


COLUMNS = ["net", "precision", "mezzo strict", "mezzo excess", "eager AMP", "torch.compile", "to eager", "to compile", "to the floor",
           "kernels per step", "compile s, cold / cached (torch's)", "planned MiB", "peak MiB (eager's)"]


def row(case, precision, name, small, strict, excess, eager, compiled):
    """The cells of one line. None: a contender failed; {}: it did not run. Empty where nothing is known."""
    best = min((m for m in (strict, excess) if m), key=lambda m: m["ms_median"], default=None)
    floor = None if small else gpu_floor.milliseconds(CASES[case][0], CASES[case][1], max(1, CASES[case][2]), name)

    def time_of(r):
        return f"{r['ms_median']:.3f} ({r['ms_min']:.3f})" if r else "failed" if r is None else ""

    def ratio(other):
        return f"{best['ms_median'] / other['ms_median']:.2f}" if best and other else ""

    def mib(r, key):
        return f"{r[key] / 2**20:.0f}" if r and r[key] is not None else ""
    seconds = (f"{best['cold_ms'] / 1e3:.1f} / {best['compile_ms'] / 1e3:.1f}" if best else "") + (
        f" ({compiled['compile_ms'] / 1e3:.1f})" if compiled else "")
    return [case, precision, time_of(strict), time_of(excess), time_of(eager), time_of(compiled), ratio(eager), ratio(compiled),
            f"{best['ms_median'] / floor:.2f}" if best and floor else "", str(best["graph_nodes"] or len(best["kernels"])) if best else "", seconds,
            mib(best, "planned_bytes"), mib(best, "peak") + (f" ({mib(eager, 'peak')})" if eager else "")]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--mezzo", default="build-gpu/mezzo")
    ap.add_argument("--models", default="build-gpu/mezzo-models")
    ap.add_argument("--device", default="cuda")
    ap.add_argument("--steps", type=int, default=50)
    ap.add_argument("--precision", default="bf16,fp16")
    ap.add_argument("--only", default="", help="cases, separated by commas")
    ap.add_argument("--modes", default="default,max-autotune", help="of torch.compile")
    ap.add_argument("--small", action="store_true")
    ap.add_argument("--without-torch", action="store_true", help="Mezzo alone")
    ap.add_argument("--contender", help=argparse.SUPPRESS)
    ap.add_argument("--out")
    args = ap.parse_args()
    if args.contender:
        print(json.dumps(run_torch(args)))
        return 0
    only = [c for c in args.only.split(",") if c]
    if unknown := [c for c in only if c not in CASES]:
        ap.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    name = device_name()
    lines = [f"{name}; ms per step, median (min)", "", "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for case in only or CASES:
            for precision in args.precision.split(","):
                strict, excess = (run_mezzo(args, case, precision, n, folder) for n in ("strict", "excess"))
                modes = [] if args.without_torch else [m for m in args.modes.split(",") if m]
                eager = {} if args.without_torch else run_other(args, case, precision, "eager")
                compiled = [run_other(args, case, precision, m) for m in modes]
                fastest = min((r for r in compiled if r), key=lambda r: r["ms_median"], default=None if modes else {})
                cells = row(case, precision, name, args.small, strict, excess, eager, fastest)
                failed |= None in (strict, excess, eager, fastest)
                lines.append("| " + " | ".join(cells) + " |")
                print(lines[-1], flush=True)
                if args.out:  # after every line: the run may be cut off
                    with open(args.out, "w") as f:
                        f.write("\n".join(lines) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""On a GPU: milliseconds per training step of Mezzo (--device cuda) beside PyTorch eager AMP and torch.compile, in one run.

    python3 tests/bench/compare_gpu.py --mezzo build-gpu/mezzo --models build-gpu/mezzo-models [--only gpt2] [--out TABLE.md]

Same network, batch, data types, optimizer and data that stays the same; random numbers, never zeros. PyTorch at its best
settings: channels_last, cudnn.benchmark, TF32 for what is left in f32, fused optimizers, GradScaler for fp16, set_to_none, and
torch.compile in both of its modes (default, and max-autotune with CUDA graphs), the faster of which is shown. Every contender
runs in a process of its own. Median of the steps after warm-up. Peak memory is what nvidia-smi shows for the process; the
floor is arithmetic and unavoidable traffic on an H200, and shown on that card only.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

# name: network, sizes of mezzo-models, batch, what is fed, optimizer, sequence, ms of the floor on an H200 (0: none known)
CASES = {
    "mlp": ("mlp", [], 256, "rows", "sgd", 0, 0),
    "lenet": ("lenet", [], 256, "digits", "sgd", 0, 0),
    "resnet50": ("resnet50", [], 256, "image", "sgd", 0, 12.8),
    "bert_base-32": ("bert_base", ["--seq", "128"], 32, "sentences", "adamw", 128, 4.0),
    "bert_base-256": ("bert_base", ["--seq", "128"], 256, "sentences", "adamw", 128, 26.0),
    "gpt2-16": ("gpt2", ["--seq", "1024"], 16, "tokens", "adamw", 1024, 20.4),
    "gpt2-64": ("gpt2", ["--seq", "1024"], 64, "tokens", "adamw", 1024, 78.8),
}
LR = {"sgd": ["--lr", "0.01", "--momentum", "0.9"], "adamw": ["--lr", "1e-4"]}
WARM_UP = 12


class PeakMemory(threading.Thread):
    """The largest device memory of a process, as nvidia-smi tells it."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.over = pid, 0, False

    def run(self):
        query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
        while not self.over:
            try:
                rows = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()
            except OSError:
                return
            for row in rows:
                pid, used = (part.strip() for part in row.split(","))
                if pid == str(self.pid) and used.isdigit():
                    self.peak = max(self.peak, int(used) << 20)
            time.sleep(0.2)


def run_process(command):
    """Standard output and peak device memory; None where it failed, whose last line is shown."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    memory = PeakMemory(process.pid)
    memory.start()
    out, err = process.communicate()
    memory.over = True
    if process.returncode:
        print(" ".join(command[:6]), "failed:", (err.strip().splitlines() or ["no message"])[-1], file=sys.stderr)
        return None
    return out, memory.peak


def torch_step(case, precision, mode):
    import torch
    import torch.nn.functional as F
    import compare_torch
    import torch_nets
    net, _, batch, feed, optimizer, sequence, _ = CASES[case]
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    device = torch.device("cuda")
    if feed == "rows":
        model, inputs, labels = compare_torch.mlp(), [torch.randn(batch, 784)], torch.randint(0, 10, (batch,))
    elif feed == "digits":
        model, inputs, labels = compare_torch.LeNet(), [torch.randn(batch, 1, 28, 28)], torch.randint(0, 10, (batch,))
    elif feed == "image":
        model, inputs, labels = torch_nets.resnet50(), [torch.randn(batch, 3, 224, 224)], torch.randint(0, 1000, (batch,))
    elif feed == "sentences":
        ids = torch.randint(0, 30522, (batch, sequence))
        model, inputs, labels = torch_nets.Bert(), [ids, torch.ones_like(ids), torch.zeros_like(ids)], torch.randint(0, 2, (batch,))
    else:
        ids = torch.randint(0, 50257, (batch, sequence))
        model, inputs, labels = torch_nets.Gpt2(sequence=sequence), [ids], torch.randint(0, 50257, ids.shape)
    model, labels = model.to(device).train(), labels.to(device)
    inputs = [x.to(device) for x in inputs]
    if inputs[0].dim() == 4:
        model = model.to(memory_format=torch.channels_last)
        inputs = [x.to(memory_format=torch.channels_last) for x in inputs]
    opt = (torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True) if optimizer == "sgd"
           else torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True))
    low = torch.bfloat16 if precision == "bf16" else torch.float16
    scaler = torch.amp.GradScaler("cuda", enabled=precision == "fp16")

    def loss_of(*args):
        with torch.autocast("cuda", low):
            return F.cross_entropy(model(*args[:-1]).float().flatten(0, -2), args[-1].flatten())

    loss = loss_of if mode == "eager" else torch.compile(loss_of, mode=None if mode == "default" else mode)

    def step():
        opt.zero_grad(set_to_none=True)
        scaler.scale(loss(*inputs, labels)).backward()
        scaler.step(opt)
        scaler.update()
    return step, torch


def run_torch(case, precision, mode, steps):
    step, torch = torch_step(case, precision, mode)
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    first = (time.perf_counter() - start) * 1e3
    for _ in range(WARM_UP):
        step()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]
    events[0].record()
    for k in range(steps):
        step()
        events[k + 1].record()
    torch.cuda.synchronize()
    times = [a.elapsed_time(b) for a, b in zip(events, events[1:])]
    median = statistics.median(times)
    return {"ms_median": median, "ms_min": min(times), "compile_ms": max(0.0, first - median),
            "allocated": torch.cuda.max_memory_allocated()}


def other(args, case, precision, mode):
    command = [sys.executable, __file__, "--contender", mode, "--only", case, "--precision", precision, "--steps", str(args.steps)]
    done = run_process(command)
    return None if done is None else dict(json.loads(done[0].splitlines()[-1]), peak=done[1])


def mezzo(args, case, precision, folder):
    net, sizes, batch, _, optimizer, _, _ = CASES[case]
    path = os.path.join(folder, case + ".onnx")
    if not os.path.exists(path):
        subprocess.run([args.models, net, path, *sizes], check=True)
    command = [args.mezzo, "bench", path, "--batch", str(batch), "--steps", str(args.steps), "--optimizer", optimizer, *LR[optimizer],
               "--precision", precision, "--device", args.device, "--cache-dir", os.path.join(folder, f"cache-{case}-{precision}"), "--json"]
    runs = [run_process(command) for _ in range(2)]  # the first fills the cache
    if None in runs:
        return None
    cold, warm = (json.loads(out) for out, _ in runs)
    return dict(warm, cold_ms=cold["compile_ms"], peak=runs[1][1])


def device_name():
    done = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True)
    return done.stdout.strip().splitlines()[0]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--mezzo", default="build-gpu/mezzo")
    ap.add_argument("--models", default="build-gpu/mezzo-models")
    ap.add_argument("--device", default="cuda")
    ap.add_argument("--steps", type=int, default=50)
    ap.add_argument("--precision", default="bf16,fp16")
    ap.add_argument("--only")
    ap.add_argument("--contender", help=argparse.SUPPRESS)
    ap.add_argument("--out")
    args = ap.parse_args()
    if args.contender:
        print(json.dumps(run_torch(args.only, args.precision, args.contender, args.steps)))
        return
    name = device_name()
    lines = [f"{name}; ms per step, median (min)", "",
             "| net | precision | mezzo | eager AMP | torch.compile | to eager | to compile | to the floor | launches | compile s, cold / cached "
             "| planned MiB | peak MiB (eager's) |", "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            if args.only and case != args.only:
                continue
            for precision in args.precision.split(","):
                eager = other(args, case, precision, "eager")
                compiled = [r for r in (other(args, case, precision, m) for m in ("default", "max-autotune")) if r]
                best = min(compiled, key=lambda r: r["ms_median"]) if compiled else None
                m = mezzo(args, case, precision, folder)
                cell = lambda r: f"{r['ms_median']:.3f} ({r['ms_min']:.3f})" if r else "failed"
                ratio = lambda a, b: f"{a['ms_median'] / b['ms_median']:.2f}" if a and b else ""
                floor = CASES[case][6]
                row = [case, precision, cell(m), cell(eager), cell(best), ratio(m, eager), ratio(m, best),
                       f"{m['ms_median'] / floor:.2f}" if m and floor and "H200" in name else "",
                       str(len(m["kernels"])) if m else "",
                       f"{m['cold_ms'] / 1e3:.1f} / {m['compile_ms'] / 1e3:.1f}" if m else "",
                       f"{m['planned_bytes'] / 2**20:.0f}" if m else "",
                       f"{m['peak'] / 2**20:.0f} ({eager['peak'] / 2**20:.0f})" if m and eager else ""]
                lines.append("| " + " | ".join(row) + " |")
                print(lines[-1], flush=True)
    if args.out:
        with open(args.out, "w") as f:
            f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""One training step of many architectures (architectures/), exported by PyTorch, beside PyTorch itself.

    python3 tests/bench/check_architectures.py [MEZZO] [--only REGEX] [--exporter REGEX] [--precision fp32|bf16|fp16|all]
        [--device cpu|cuda|reference] [--seed N] [--libraries] [--keep DIR] [--verbose]          needs torch, onnx, onnxscript, numpy

Every net goes through the dynamo exporter (optimised, unless that folds BatchNorm, and not; opset 20 and 23) and the TorchScript one at
opset 13, 17 and 20, where these can write it. Loss and every gradient of
`mezzo grad` are compared with PyTorch's in float64, by relative L2 distance: fp32 within max(1e-4, 5 x PyTorch's own fp32 error), of --libraries
over three batches where one does not do; 16 bits:
the median within 1.5 x and the largest within 2.5 x of what PyTorch's autocast gets wrong, over five batches where one does not do. Initializers are matched to parameters by value.
"""
import argparse
import contextlib
import copy
import io
import os
import re
import subprocess
import tempfile
import warnings

import numpy as np
import onnx
import onnx.numpy_helper
import torch
import torch.nn as nn
import torch.nn.functional as F

from architectures import NETS

EXPORTERS = {
    "dyn": dict(dynamo=True, external_data=False),
    "dynraw": dict(dynamo=True, optimize=False, external_data=False),
    "ts13": dict(dynamo=False, opset_version=13, do_constant_folding=False, training=torch.onnx.TrainingMode.TRAINING),
    "ts17": dict(dynamo=False, opset_version=17, do_constant_folding=False, training=torch.onnx.TrainingMode.TRAINING),
    "ts20": dict(dynamo=False, opset_version=20, do_constant_folding=False, training=torch.onnx.TrainingMode.TRAINING),
    "dynraw23": dict(dynamo=True, optimize=False, opset_version=23, external_data=False),
}
LOSSES = {"cross_entropy": F.cross_entropy, "mse": F.mse_loss, "output": lambda out, labels: out}


def loss_of(out, labels, kind):
    if kind == "cross_entropy" and out.dim() == labels.dim() + 1 and out.shape[2:] != labels.shape[1:] and out.shape[:-1] == labels.shape:
        out = out.movedim(-1, 1)  # scores (..., C), as mezzo reads them where only that fits
    return LOSSES[kind](out, labels)


def step(net, x, labels, kind, dtype, scale=1.0):
    """Loss and gradients by parameter. bf16 and fp16: under autocast, the loss times `scale`."""
    net = copy.deepcopy(net)
    low = dtype in (torch.bfloat16, torch.float16)
    net, width = net.to(torch.float32 if low else dtype), torch.float32 if low else dtype
    x = [v.to(width) if v.is_floating_point() else v for v in x]
    labels = labels.to(width) if labels.is_floating_point() else labels
    torch.set_default_dtype(width)  # of the constants that nets make as they run
    try:
        with torch.autocast("cpu", dtype) if low else contextlib.nullcontext():
            out = net(*x)
    finally:
        torch.set_default_dtype(torch.float32)
    out = out[0] if isinstance(out, tuple) else out
    loss = loss_of(out.to(width), labels, kind)
    (loss * scale).backward()
    return loss.item(), {k: (p.grad.double() / scale).numpy() for k, p in net.named_parameters() if p.grad is not None}


def relative(a, b):
    norm = np.linalg.norm(b)
    distance = np.linalg.norm(np.asarray(a, np.float64) - b)
    return distance / norm if norm > 0 else distance


def export(net, x, path, exporter):
    names = [f"input{i}" for i in range(len(x))]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(copy.deepcopy(net), tuple(x), path, input_names=names, output_names=["output"], **EXPORTERS[exporter])


def matched(graph, net):
    """Initializer name -> (parameter, how its gradient lies in the parameter's); and the parameters that the exporter computed with."""
    pairs = {}
    for tensor in graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.dtype != np.float32:
            continue
        for name, p in net.named_parameters():
            p = p.detach().numpy()
            if value.shape == p.shape and np.array_equal(value, p):
                pairs[tensor.name] = (name, lambda g, like: g)
            elif p.ndim == 2 and value.shape == p.T.shape and np.array_equal(value, p.T):
                pairs[tensor.name] = (name, lambda g, like: g.T)
            elif value.size == p.size and value.size > 1 and np.array_equal(value.ravel(), p.ravel()):
                pairs[tensor.name] = (name, lambda g, like: g.reshape(like))
            elif value.size > p.size > 1 and value.size % p.size == 0 and (value.reshape(-1, p.size) == p.ravel()).all():
                pairs[tensor.name] = (name, lambda g, like: g.reshape(-1, *like).sum(0))  # folded: p repeated
            else:
                continue
            break
    computed = {v.name: p.value for v in graph.value_info for p in v.metadata_props if p.key.endswith("folded_from") and v.name not in pairs}
    return pairs, {name for name, _ in net.named_parameters() if any(f"'{name}'" in sources for sources in computed.values())}


class Batch:
    """What one batch gives in PyTorch: in float64, and how far its own precisions are from that."""

    def __init__(self, net, x, labels, kind):
        self.net, self.x, self.labels, self.kind, self.errors = net, x, labels, kind, {}
        self.loss, self.want = step(net, x, labels, kind, torch.float64)
        largest = max(np.linalg.norm(g) for g in self.want.values())
        self.live = {k for k, g in self.want.items() if np.linalg.norm(g) > 1e-3 * largest}  # smaller ones cancel

    def own_errors(self, precision):
        """(of the loss, by parameter); none where autocast has no such kernel on this CPU."""
        if precision not in self.errors:
            dtype, scale = {"fp32": (torch.float32, 1.0), "bf16": (torch.bfloat16, 1.0), "fp16": (torch.float16, 1024.0)}[precision]
            try:
                loss, got = step(self.net, self.x, self.labels, self.kind, dtype, scale)
                self.errors[precision] = (abs(loss - self.loss) / abs(self.loss), {k: relative(got[k], self.want[k]) for k in self.live})
            except RuntimeError:
                self.errors[precision] = None
        return self.errors[precision]

    def compare(self, pairs, computed, got):
        """Errors by parameter, and why there are none for others."""
        errors, found, missing = {}, {}, {}
        for initializer, (parameter, place) in pairs.items():
            if parameter not in self.live or parameter in computed:  # gradients do not reach it through the computed value
                continue
            grad = got.get("grad:" + initializer)
            if grad is None:  # perhaps a copy of another initializer, which then has the gradient of both
                missing[parameter] = initializer
                continue
            want = self.want[parameter]
            back = place(grad, want.shape)  # place is its own inverse
            # A weight that the exporter wrote twice, and mezzo takes for two: the gradients add up.
            found.setdefault(parameter, []).append(back if back.shape == want.shape else np.full(want.shape, np.inf))
        for parameter, grads in found.items():
            errors[parameter] = relative(sum(grads), self.want[parameter])
        return errors, [f"no gradient of {initializer}" for parameter, initializer in missing.items() if parameter not in found]


class Case:
    def __init__(self, name, seed=3):
        self.name, self.seed, self.batches = name, seed, {}
        torch.manual_seed(seed)
        self.net, self.x, labels, self.kind = NETS[name]()
        self.net.train()
        self.faithful = set(EXPORTERS)
        # The dynamo exporter's optimiser folds BatchNorm into its neighbours, also in training mode: another net.
        if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.net.modules()):
            self.faithful -= {"dyn"}
        if getattr(self.net, "detaches", False):  # only the unoptimised dynamo export keeps detach()
            self.faithful &= {"dynraw", "dynraw23"}
        with torch.no_grad():  # no two equal parameters, none at its special starting value
            for p in self.net.parameters():
                p.add_(getattr(self.net, "spread", 0.1) * torch.rand_like(p))
        self.batches[0] = Batch(self.net, self.x, labels, self.kind)

    def batch(self, i):
        if i not in self.batches:
            torch.manual_seed(self.seed + 1000 * i)
            _, x, labels, kind = NETS[self.name]()
            self.batches[i] = Batch(self.net, x, labels, kind)
        return self.batches[i]


def gradients(mezzo, path, inputs, batch, precision, device, folder):
    """What `mezzo grad` writes; or its exit code and message."""
    feed = {f"input{i}": v.numpy() for i, v in enumerate(batch.x) if f"input{i}" in inputs}
    if batch.kind != "output":
        feed["labels"] = batch.labels.numpy()
    np.savez(os.path.join(folder, "feed.npz"), **feed)
    out = os.path.join(folder, "grads.npz")
    command = [mezzo, "grad", path, "--feed", os.path.join(folder, "feed.npz"), "--loss", batch.kind, "--precision", precision, "--mode", "train", "--out", out]
    command += ["--loss-scale", "1024"] if precision == "fp16" else []
    command += ["--device", device] if device else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        return 1, "no result within 600 s"
    if done.returncode:
        return done.returncode, " | ".join(done.stderr.strip().splitlines()[:4])
    with np.load(out) as got:
        return 0, dict(got)


def run(mezzo, path, case, precision, device, folder, fp32_batches):
    """(status, text). In 16 bits, single batches of such small nets scatter by more than the factor asked for: five decide where one fails.
    In deep nets with BatchNorm over few values a ReLU that flips does the same in fp32, to PyTorch as well."""
    graph = onnx.load(path).graph
    pairs, computed = matched(graph, case.net)
    inputs = {i.name for i in graph.input}
    ours, theirs, count = [], [], 0
    for i in range(fp32_batches if precision == "fp32" else 5):
        batch = case.batch(i)
        if not batch.own_errors(precision):
            return "skipped", "PyTorch's autocast does not run it"
        code, got = gradients(mezzo, path, inputs, batch, precision, device, folder)
        if code:
            return ("refused" if code in (3, 4) else "crash"), f"exit {code}: {got}"
        errors, reasons = batch.compare(pairs, computed, got)
        own_loss, own = batch.own_errors(precision)
        ours, theirs, count = ours + (list(errors.values()) or [0.0]), theirs + (list(own.values()) or [0.0]), count + 1
        if precision == "fp32":
            reasons += [f"{k} {e:.1e}" for k, e in errors.items() if e > max(1e-4, 5 * max(own.values(), default=0.0))][:3]
            loss = abs(float(got["loss"]) - batch.loss) / abs(batch.loss)
            if loss > max(1e-4, 5 * own_loss):
                reasons.append(f"loss {loss:.1e}")
        elif np.median(ours) > max(2e-3, 1.5 * np.median(theirs)):
            reasons.append("the median")
        elif max(ours) > max(4e-3, 2.5 * max(theirs)):
            reasons.append(f"the largest ({max(errors, key=errors.get)})")
        if not reasons:
            break
    note = f"{len(errors)} gradients, median {np.median(ours):.1e} max {max(ours):.1e} (PyTorch {np.median(theirs):.1e} {max(theirs):.1e})"
    lost = batch.live & computed | batch.live - {p for p, _ in pairs.values()}
    note += f"; only computed with, or not in the file by value: {len(lost)}" if lost else ""
    note += f"; {count} batches" if count > 1 else ""
    return ("FAIL" if reasons else "ok"), "; ".join(reasons + [note])


def main():
    a = argparse.ArgumentParser()
    a.add_argument("mezzo", nargs="?", default="build/mezzo")
    a.add_argument("--only", default="")
    a.add_argument("--exporter", default="")
    a.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16", "all"])
    a.add_argument("--device")
    a.add_argument("--seed", type=int, default=3)
    a.add_argument("--libraries", action="store_true", help="models of torchvision, timm and transformers instead")
    a.add_argument("--keep", help="exported files stay here, and are read from here where they are")
    a.add_argument("--verbose", action="store_true")
    a = a.parse_args()
    torch.set_num_threads(1)
    if a.libraries:
        from architectures import libraries
        NETS.clear()
        NETS.update(libraries.NETS)
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        keep = a.keep or folder
        os.makedirs(keep, exist_ok=True)
        for name in NETS:
            if not re.search(a.only, name):
                continue
            try:
                case = Case(name, a.seed)
            except Exception as e:  # libraries change
                counts["not made"] = counts.get("not made", 0) + 1
                print(f"PyTorch does not make {name}: {type(e).__name__} {str(e).splitlines()[0][:120] if str(e) else ''}", flush=True)
                continue
            for exporter in EXPORTERS:
                if not re.search(a.exporter, exporter) or exporter not in case.faithful:
                    continue
                path = os.path.join(keep, f"{name}.{exporter}.{a.seed}.onnx")
                if not os.path.exists(path):
                    try:
                        export(case.net, case.x, path, exporter)
                    except Exception as e:
                        counts["not exported"] = counts.get("not exported", 0) + 1
                        print(f"PyTorch does not export {name} ({exporter}): {str(e).splitlines()[0][:120]}", flush=True)
                        continue
                for precision in ("fp32", "bf16", "fp16") if a.precision == "all" else (a.precision,):
                    status, text = run(a.mezzo, path, case, precision, a.device, folder, 3 if a.libraries else 1)
                    counts[status] = counts.get(status, 0) + 1
                    if a.verbose or status != "ok":
                        print(f"{status:8s} {precision} {name}.{exporter}: {text}", flush=True)
    print(", ".join(f"{n} {status}" for status, n in sorted(counts.items())))
    return 1 if any(counts.get(s) for s in ("FAIL", "crash", "refused")) or not counts else 0


if __name__ == "__main__":
    raise SystemExit(main())

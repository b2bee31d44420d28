#!/usr/bin/env python3
"""The node tests of the installed onnx package through `mezzo run`, one process each.

    python3 tests/nodes/newest.py [MEZZO] [--only REGEX] [--device cpu|reference|cuda] [--verbose]        needs numpy, onnx

Prints every test that gives other values or crashes, how many are refused for which reason, and the count. Tests whose inputs or
outputs are no plain arrays (sequences, optional values, strings, complex numbers, elements of 8-bit floats or below 8 bits) are
not for `run`, and are counted apart. Fails where something crashes or a value is wrong that WRONG does not explain.
"""
import argparse
import collections
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases

WRONG = {
    r"^test_(training_)?dropout.*(?<!zero_ratio)(?<!zero_ratio_mask)$": "random numbers of another generator",
    r"^test_bernoulli": "random numbers of another generator",
    r"^test_adam_multiple$": "its file does not hold the epsilon it was made with",
}
PLAIN = {"float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"}


def arrays_of(names, values):
    """By name; None where one is no plain array."""
    out = {}
    for name, value in zip(names, values):
        if isinstance(value, onnx.TensorProto):
            value = onnx.numpy_helper.to_array(value)
        if not isinstance(value, (np.ndarray, np.generic)) or str(np.asarray(value).dtype) not in PLAIN:
            return None
        out[name] = np.asarray(value)
    return out


def run(mezzo, device, test, folder):
    """(outcome, reason)"""
    inputs, outputs = test.data_sets[0]
    graph = test.model.graph
    feeds = arrays_of([i.name for i in graph.input], inputs)
    wanted = arrays_of([o.name for o in graph.output], outputs)
    if feeds is None or wanted is None:
        return "not plain", ""
    path = os.path.join(folder, test.name)
    onnx.save(test.model, path + ".onnx")
    np.savez(path + ".npz", **feeds)
    command = [mezzo, "run", path + ".onnx", "--feed", path + ".npz", "--out", path + ".out.npz", "--device", device, "--cache-dir", "none"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        return "crash", "no result within 300 s"
    message = " | ".join(done.stderr.strip().splitlines())
    if done.returncode < 0 or done.returncode == 70:
        return "crash", f"exit code {done.returncode}: {message}"
    if done.returncode:
        return "refused", message
    with np.load(path + ".out.npz") as got:
        for name, want in wanted.items():
            have = got[name]
            if have.shape != want.shape or have.dtype != want.dtype:
                return "wrong", f"{name} is {have.dtype}{list(have.shape)}, expected {want.dtype}{list(want.shape)}"
            tolerance = max(test.rtol or 0, 2e-3 if want.dtype == np.float16 else 1e-3)
            if not np.allclose(have, want, rtol=tolerance, atol=max(test.atol or 0, 1e-5), equal_nan=True):
                return "wrong", f"{name} differs"
    for ending in (".onnx", ".npz", ".out.npz"):
        os.remove(path + ending)
    return "pass", ""


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("mezzo", nargs="?", default="build/mezzo")
    ap.add_argument("--only", default="")
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--jobs", type=int, default=os.cpu_count())
    ap.add_argument("--verbose", action="store_true", help="the reason of every refusal")
    args = ap.parse_args()
    warnings.simplefilter("ignore")
    tests = [t for t in collect_testcases(None) if re.search(args.only, t.name)]
    counts, reasons, failed = collections.Counter(), collections.Counter(), False
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for test, (outcome, reason) in zip(tests, pool.map(lambda t: run(args.mezzo, args.device, t, folder), tests)):
            known = next((why for pattern, why in WRONG.items() if outcome == "wrong" and re.search(pattern, test.name)), None)
            counts["wrong, known" if known else outcome] += 1
            failed |= outcome == "crash" or (outcome == "wrong" and not known)
            if outcome in ("crash", "wrong") or (args.verbose and outcome == "refused"):
                print(f"{outcome:8s} {test.name}: {reason[:300]}{' (' + known + ')' if known else ''}", flush=True)
            if outcome == "refused":
                reasons[re.sub(r"'[^']*'", "'...'", reason.split(" | ")[min(1, reason.count(" | "))]).strip()[:110]] += 1
    for reason, count in reasons.most_common():
        print(f"refused {count:4d}  {reason}")
    print(f"onnx {onnx.__version__}, {args.device}: " + ", ".join(f"{counts[k]} {k}" for k in sorted(counts)) + f", {len(tests)} in all")
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Trains each model for a step with `mezzo train` and judges the file that comes out by other tools (python with numpy, onnx, onnxruntime).

check_export.py BINARY MODEL.onnx:DATA.npz[:LOSS] ...

The onnx package's checker must accept it, onnxruntime must run it, at least one initializer must have moved, and with the initializers of
the original put back the message must equal the original."""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper


def check(binary, model, data, loss, directory):
    out = os.path.join(directory, "trained.onnx")
    command = [binary, "train", model, "--data", data, "--batch", "4", "--steps", "1", "--optimizer", "sgd", "--lr", "0.1", "--loss", loss,
               "--out", out]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return f"exit code {done.returncode}: {done.stderr.strip()}"
    onnx.checker.check_model(out, full_check=True)
    before, after = onnx.load(model), onnx.load(out)
    old = {t.name: t for t in before.graph.initializer}
    moved = sum(not np.array_equal(numpy_helper.to_array(t), numpy_helper.to_array(old[t.name]))
                for t in after.graph.initializer if t.name in old)
    if moved == 0:
        return "no initializer moved"
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    with np.load(data) as arrays:
        session.run(None, {i.name: arrays[i.name][:4] for i in session.get_inputs()})
    if [t.name for t in after.graph.initializer] == list(old):  # no alias became an initializer of its own
        for i, t in enumerate(before.graph.initializer):
            after.graph.initializer[i].CopyFrom(t)
        if after.SerializeToString() != before.SerializeToString():
            return "more than the initializers changed"
    print(f"ok: {model}: {moved} of {len(old)} initializers moved")
    return None


def main():
    if len(sys.argv) < 3:
        print(__doc__)
        return 2
    failed = 0
    for case in sys.argv[2:]:
        model, data, loss = (case.split(":") + ["cross_entropy"])[:3]
        with tempfile.TemporaryDirectory() as directory:
            why = check(sys.argv[1], model, data, loss, directory)
        if why:
            print(f"FAILED: {model}: {why}")
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Makes the fixtures of models/fixtures/ that are one batch of an architecture: .onnx files and float64 gradients, no training runs.

    python3 models/export_architectures.py [--out models/fixtures] [--only REGEX]          needs torch, onnx, onnxscript, numpy

The nets are those of tests/bench/architectures.py, in training mode, weights away from their special starting values. For each:
    NET.ts13.onnx, NET.ts17.onnx, NET.dynraw.onnx   as EXPORTERS of tests/bench/check_architectures.py says; documentation stripped
    NET.case.npz   feed:input<i>, labels, loss, output:output, grad:<initializer>
"""
import argparse
import os
import re
import sys

import numpy as np
import onnx
import torch

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "bench"))
from architectures import NETS  # noqa: E402
from check_architectures import Case, export  # noqa: E402

FIXTURES = {
    "vit": ("dynraw",),
    "swin": ("ts17",),
    "convnext": ("ts13",),
    "gpt2": ("ts17",),
    "llama": ("ts17", "dynraw"),
    "t5": ("ts17",),
    "moe": ("ts17", "dynraw"),
    "einsum": ("dynraw",),
}


def strip(path):
    """Stack traces and the like, which the dynamo exporter writes at every node."""
    model = onnx.load(path)
    del model.metadata_props[:]
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        graph.doc_string = ""
        del graph.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
        for value in graph.value_info:
            del value.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        value.doc_string = ""
        del value.metadata_props[:]
    del model.graph.value_info[:]
    onnx.save(model, path)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--out", default=os.path.join(ROOT, "models", "fixtures"))
    arguments.add_argument("--only", default="")
    arguments = arguments.parse_args()
    torch.set_num_threads(1)
    for name, exporters in FIXTURES.items():
        if not re.search(arguments.only, name):
            continue
        assert name in NETS
        case = Case(name)
        net = case.net.double()
        with torch.no_grad():
            output = net(*(v.double() if v.is_floating_point() else v for v in case.x))
        net.float()
        arrays = {f"feed:input{i}": v.numpy() for i, v in enumerate(case.x)}
        arrays |= {"labels": case.labels.numpy(), "loss": np.float64(case.loss), "output:output": output.numpy().astype("f4")}
        arrays |= {f"grad:{k}": g.astype("f4") for k, g in case.want.items()}
        np.savez_compressed(os.path.join(arguments.out, f"{name}.case.npz"), **arrays)
        for exporter in exporters:
            path = os.path.join(arguments.out, f"{name}.{exporter}.onnx")
            export(net, case.x, path, exporter)
            strip(path)
            names = {i.name for i in onnx.load(path).graph.initializer}
            print(f"{name}.{exporter}: {os.path.getsize(path)} bytes, missing by name: {sorted(set(case.want) - names)}", flush=True)


if __name__ == "__main__":
    main()

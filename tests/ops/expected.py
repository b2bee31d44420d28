"""Writes tests/ops/expected.txt: what onnxruntime, or ONNX's reference implementation where that is too old, computes
for the cases of cases.txt, on inputs of its own.

An op made of others is not to be checked against its own expansion only. Usage: expected.py CASES > EXPECTED
Needs numpy, onnx and onnxruntime. Lines whose op or form is not ONNX's, or which onnxruntime does not run, are left
out and named on stderr.
"""
import re
import sys
import zlib

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from onnx.reference import ReferenceEvaluator

OPSET = 21
# Ops that came later.
LATER = {"RMSNormalization": 23, "RotaryEmbedding": 23, "Attention": 25}
TYPES = {"f32": np.float32, "f64": np.float64,
         "i64": np.int64, "i32": np.int32,
         "i8": np.int8, "u8": np.uint8,
         "u32": np.uint32, "bool": np.bool_}
# Ops whose newest form onnxruntime lacks: ONNX's own reference implementation.
REFERENCE = {"Attention"}
# Attributes of the IR that are inputs in ONNX: op -> names by input position.
REDUCE = {1: "axes"}
AS_INPUTS = {"Reshape": {1: "shape"}, "Expand": {1: "shape"}, "Squeeze": {1: "axes"}, "Unsqueeze": {1: "axes"},
             "Resize": {1: "roi", 2: "scales", 3: "sizes"}, "CenterCropPad": {1: "shape"}, "AffineGrid": {1: "size"},
             "Col2Im": {1: "image_shape", 2: "block_shape"}, "MaxUnpool": {2: "output_shape"},
             "DFT": {1: "dft_length", 2: "axis"},
             "Slice": {1: "starts", 2: "ends", 3: "axes", 4: "steps"}, "Pad": {1: "pads", 2: "value", 3: "axes"}}
AS_INPUTS.update({"Reduce" + kind: REDUCE for kind in
                  ("Sum", "Max", "Min", "Prod", "Mean", "SumSquare", "L1", "L2", "LogSum", "LogSumExp")})
# Outputs behind ONNX's own are the IR's business.
OUTPUTS = {"SoftmaxCrossEntropyLoss": 2, "MaxPool": 2, "LayerNormalization": 3, "Attention": 4, "LSTM": 3, "GRU": 2,
           "RNN": 2}
FLOAT_INPUTS = ("roi", "scales")
# What onnxruntime computes differently from the specification (SAME pads of dilated pools, output_shape), or draws at random.
NOT_AN_ORACLE = re.compile(r"Dropout|Random|MaxUnpool .*output_shape|(Max|Average|Lp)Pool .*dilations.*SAME")


def draw(text, random):
    """An input in the case grammar -> (text with explicit values, array)."""
    kind, dims, given = re.fullmatch(r"(\w+)\[([\d,]*)\](?:\{(.*)\})?", text).groups()
    dtype = TYPES[kind]
    shape = [int(d) for d in dims.split(",") if d]
    low, high = (-2, 2) if kind.startswith("f") else (0, 1) if kind == "bool" else (1, 5)
    if given and ".." not in given:
        values = np.array([float(v) for v in given.split(",")])
    else:
        if given:
            low, high = (float(v) for v in given.split(".."))
        count = int(np.prod(shape))
        if kind.startswith("f"):
            values = random.uniform(low, high, count)
        else:
            values = random.integers(int(low), int(high) + 1, count)
        values = np.round(values, 3)
    spelled = ",".join(f"{v:g}" for v in values)
    return f"{kind}[{dims}]{{{spelled}}}", values.astype(dtype).reshape(shape)


def opset_of(op):
    return LATER.get(op, OPSET)


def attribute(op, key, text):
    kind = onnx.defs.get_schema(op, opset_of(op)).attributes[key].type
    if kind == onnx.defs.OpSchema.AttrType.INT:
        return int(text)
    if kind == onnx.defs.OpSchema.AttrType.FLOAT:
        return float(text)
    if kind == onnx.defs.OpSchema.AttrType.INTS:
        return integers(text)
    if kind == onnx.defs.OpSchema.AttrType.FLOATS:
        return [float(v) for v in text.strip("[]").split(",")]
    if kind == onnx.defs.OpSchema.AttrType.STRINGS:
        return text.strip("[]").split(",")
    return text


def integers(text):
    return [int(v) for v in text.strip("[]").split(",") if v]


def run(line):
    random = np.random.default_rng(zlib.crc32(line.encode()))
    words = line.split(" | ")[0].split()
    op, attrs, names, feeds, spelled = words[0], {}, [], {}, [words[0]]
    listed = AS_INPUTS.get(op, {})
    inputs = {}
    for word in words[1:]:
        if word == "-":
            names.append("")
            spelled.append(word)
        elif "=" in word:
            key, value = word.split("=")
            spelled.append(word)
            if key in listed.values():
                if key in FLOAT_INPUTS:
                    inputs[key] = np.array([float(v) for v in value.strip("[]").split(",")], np.float32)
                else:
                    inputs[key] = (np.float32(value) if key == "value" else np.int64(value) if op == "DFT" else
                                   np.array(integers(value), np.int64))
            else:
                attrs[key] = attribute(op, key, value)
        else:
            text, array = draw(word, random)
            name = f"x{len(names)}"
            names.append(name)
            feeds[name] = array
            spelled.append(text)
    for position, key in sorted(listed.items()):
        while len(names) <= position:
            names.append("")
        if key in inputs:
            names[position] = key
            feeds[key] = np.asarray(inputs[key])
    while names and not names[-1]:
        names.pop()
    if op in ("LSTM", "GRU", "RNN"):
        attrs["hidden_size"] = feeds["x2"].shape[2]
    count = OUTPUTS.get(op, 3 if attrs.get("training_mode") and op == "BatchNormalization" else 1)
    out_names = [f"y{k}" for k in range(count)]
    node = helper.make_node(op, names, out_names, **attrs)
    values = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
              for n, a in feeds.items()]
    graph = helper.make_graph([node], "case", values, [helper.make_empty_tensor_value_info(n) for n in out_names])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset_of(op))], ir_version=10)
    if op in REFERENCE:
        results = ReferenceEvaluator(model).run(None, feeds)
    else:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        results = session.run(None, feeds)
    if any(np.isnan(r).any() for r in results if r.dtype.kind == "f"):
        raise ValueError("NaN, where Mezzo has a convention of its own")
    shown = [" ".join(f"{float(v):.8g}" for v in np.asarray(r).reshape(-1)) for r in results]
    return " ".join(spelled) + " => " + " ; ".join(shown)


def main():
    onnxruntime.set_default_logger_severity(4)
    print(f"# Written by expected.py with onnxruntime {onnxruntime.__version__}: case => outputs, separated by ;")
    for line in open(sys.argv[1]):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            onnx.defs.get_schema(line.split()[0], opset_of(line.split()[0]))
        except Exception:
            continue
        if NOT_AN_ORACLE.match(line):
            continue
        try:
            print(run(line))
        except Exception as error:
            print(f"left out: {line}: {str(error).splitlines()[0][:150]}", file=sys.stderr)


main()

#!/usr/bin/env python3
"""Makes models/fixtures/: small PyTorch models as .onnx with float64 gradients and 20-step float32 training runs.

    python3 models/export.py [--out models/fixtures]          needs torch, onnx, onnxscript, numpy

For each net (the last two files for NETS only):
    NET.ts17.onnx, NET.dyn.onnx   training-mode exports: the TorchScript exporter at opset 17, the dynamo exporter unoptimised
    NET.case.npz   feed:<input>, labels, loss, output:<name>, grad:<initializer>     (references computed in float64)
    NET.runs.npz   data:<input>, labels: 20 batches of 16 in file order; for every optimizer of RUNS
                   <run>:losses, <run>:norms, <run>:final:<parameter> (parameters up to 4096 elements)

inference.ts17.onnx, inference.dyn.onnx: one net as the exporters' defaults write it, in eval mode: what `mezzo check` reports
"""
import argparse
import copy
import os
import warnings

import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F

BATCH, STEPS = 16, 20
RUNS = {
    "sgd": (lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-4), None),
    "adam": (lambda p: torch.optim.Adam(p, lr=1e-3), None),
    "adamw": (lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.01), 1.0),
}


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 32), nn.Linear(32, 24), nn.Linear(24, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(256, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class DigitsCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.fc = nn.Linear(32 * 4 * 4, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.fc(F.max_pool2d(x, 2).flatten(1))


class Bottleneck(nn.Module):
    def __init__(self, cin, mid, cout, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(cin, mid, 1, bias=False), nn.BatchNorm2d(mid)
        self.conv2, self.bn2 = nn.Conv2d(mid, mid, 3, stride, 1, bias=False), nn.BatchNorm2d(mid)
        self.conv3, self.bn3 = nn.Conv2d(mid, cout, 1, bias=False), nn.BatchNorm2d(cout)
        self.down = None
        if stride != 1 or cin != cout:
            self.down = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.down is None else self.down(x)))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.block1, self.block2 = Bottleneck(16, 8, 32, 2), Bottleneck(32, 8, 32, 1)
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn(self.stem(x))), 3, 2, 1)
        return self.fc(F.adaptive_avg_pool2d(self.block2(self.block1(x)), 1).flatten(1))


class Unet(nn.Module):
    """Scores per pixel; upsamples by a transposed convolution, by linear interpolation of both kinds and by copying."""

    def __init__(self):
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(2, 6, 3, 1, 1), nn.Conv2d(6, 8, 3, 2, 1)
        self.bottom, self.norm = nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 8, 4, 2, 1)
        self.up1, self.up2 = nn.Conv2d(16, 6, 3, 1, 1), nn.Conv2d(18, 10, 1)

    def forward(self, x):
        a = F.relu(self.down1(x))
        b = F.relu(self.down2(a))
        c = torch.cat([self.up(F.relu(self.norm(self.bottom(b)))), b], 1)
        c = F.silu(self.up1(F.interpolate(c, scale_factor=2, mode="bilinear", align_corners=False)))
        d = F.interpolate(b, scale_factor=2, mode="bilinear", align_corners=True)[:, :6]
        return self.up2(torch.cat([c, d, F.interpolate(b, scale_factor=2, mode="nearest")[:, 2:]], 1))


class Tagger(nn.Module):
    """Scores per word: both recurrent layers with gates, forward and backward, two deep."""

    def __init__(self):
        super().__init__()
        self.lstm, self.gru = nn.LSTM(5, 6, 2, bidirectional=True), nn.GRU(12, 7, bidirectional=True)
        self.fc = nn.Linear(14, 10)

    def forward(self, x):
        h, _ = self.lstm(x.transpose(0, 1))
        h, _ = self.gru(h)
        return self.fc(h).permute(1, 2, 0)


class Squeeze(nn.Module):
    """MobileNetV3's block, then pixels from channels."""

    def __init__(self):
        super().__init__()
        self.widen, self.depth, self.narrow = nn.Conv2d(4, 12, 1), nn.Conv2d(12, 12, 3, 1, 1, groups=12), nn.Conv2d(12, 4, 1)
        self.squeeze, self.excite = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)
        self.head = nn.Conv2d(4, 40, 1)

    def forward(self, x):
        y = F.hardswish(self.depth(F.hardswish(self.widen(x))))
        y = y * F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        return F.pixel_shuffle(self.head(x + self.narrow(y)), 2)


class Inference(nn.Module):
    """What an export for inference does to: BatchNorm, Dropout, a weight used as it is and transposed, equal biases."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.shared = nn.Parameter(torch.randn(8, 6) * 0.3)
        self.fc1, self.fc2 = nn.Linear(256, 10), nn.Linear(10, 10)
        nn.init.zeros_(self.fc1.bias)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, x):
        x = F.dropout(F.relu(self.bn(self.conv(x))), 0.2, self.training)  # (N, 4, 8, 8)
        x = F.relu(F.linear(torch.matmul(x, self.shared), self.shared))
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


NETS = {
    "mlp": (Mlp, (64,)),
    "lenet": (LeNet, (1, 28, 28)),
    "digits_cnn": (DigitsCnn, (1, 8, 8)),
    "resnet": (ResNet, (3, 16, 16)),
}


# Gradients only: net, input shape, labels' shape behind the batch.
CASES = {
    "unet": (Unet, (2, 8, 8), (8, 8)),
    "tagger": (Tagger, (5, 5), (5,)),
    "squeeze": (Squeeze, (4, 5, 5), (10, 10)),
}


def export(net, x, path, exporter):
    common = dict(input_names=["input"], output_names=["logits"], verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "ts17":
            torch.onnx.export(net, (x,), path, dynamo=False, opset_version=17, do_constant_folding=False,
                              training=torch.onnx.TrainingMode.TRAINING,
                              dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}}, **common)
        else:
            torch.onnx.export(net, (x,), path, dynamo=True, optimize=False, external_data=False,
                              dynamic_shapes=({0: torch.export.Dim("batch")},), **common)


def export_inference(out):
    torch.manual_seed(7)
    net, x = Inference().eval(), torch.randn(2, 1, 8, 8)
    common = dict(input_names=["input"], output_names=["logits"], verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (x,), os.path.join(out, "inference.ts17.onnx"), dynamo=False, opset_version=17,
                          dynamic_axes={"input": {0: "batch"}}, **common)
        torch.onnx.export(net, (x,), os.path.join(out, "inference.dyn.onnx"), dynamo=True, external_data=False,
                          dynamic_shapes=({0: torch.export.Dim("batch")},), **common)


def gradients(net, x, labels):
    """float64 loss, logits and gradients of a copy, so that BatchNorm statistics of `net` stay."""
    net = copy.deepcopy(net).double()
    logits = net(x.double())
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    grads = {k: p.grad.numpy() for k, p in net.named_parameters()}
    return loss.item(), logits.detach().numpy(), grads


def run(net, make_optimizer, clip, data, labels):
    net = copy.deepcopy(net).train()
    optimizer = make_optimizer(net.parameters())
    losses, norms = [], []
    for step in range(STEPS):
        part = slice(step * BATCH, (step + 1) * BATCH)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(data[part]), labels[part])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), clip if clip else float("inf"))
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm.item())
    return losses, norms, {k: p.detach().numpy() for k, p in net.named_parameters()}


def strip(path):
    """Drops what PyTorch says of its own source, half of a small file."""
    model = onnx.load(path)
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, path)


def write_case(name, net, x, y, out):
    loss, logits, grads = gradients(net, x, y)
    case = {"feed:input": x.numpy(), "labels": y.numpy(), "loss": np.float64(loss), "output:logits": logits.astype("f4")}
    case.update({f"grad:{k}": g.astype("f4") for k, g in grads.items()})
    for exporter in ("ts17", "dyn"):
        export(copy.deepcopy(net), x, os.path.join(out, f"{name}.{exporter}.onnx"), exporter)
    np.savez_compressed(os.path.join(out, f"{name}.case.npz"), **case)
    return loss


def made(make):
    torch.manual_seed(7)
    net = make().train()
    with torch.no_grad():  # away from the initial 1 and 0, which would hide mistakes
        for m in net.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.weight.uniform_(0.5, 1.5)
                m.bias.uniform_(-0.3, 0.3)
    return net


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures"))
    out = arguments.parse_args().out
    os.makedirs(out, exist_ok=True)
    export_inference(out)
    for name, (make, shape) in NETS.items():
        net = made(make)
        # Learnable data: each class is a pattern plus noise.
        labels = torch.randint(0, 10, (BATCH * STEPS,))
        data = torch.randn(10, *shape)[labels] + 0.7 * torch.randn(BATCH * STEPS, *shape)
        x, y = data[:6], labels[:6]
        loss = write_case(name, net, x, y, out)
        runs = {"data:input": data.numpy().astype("f2").astype("f4"), "labels": labels.numpy()}
        data = torch.from_numpy(runs["data:input"])
        for key, (make_optimizer, clip) in RUNS.items():
            losses, norms, final = run(net, make_optimizer, clip, data, labels)
            runs[f"{key}:losses"], runs[f"{key}:norms"] = np.float32(losses), np.float32(norms)
            runs.update({f"{key}:final:{k}": v for k, v in final.items() if v.size <= 4096})
        np.savez_compressed(os.path.join(out, f"{name}.runs.npz"), **runs)
        print(f"{name}: loss {loss:.6f}, " + ", ".join(f"{k} ends at {runs[f'{k}:losses'][-1]:.4f}" for k in RUNS))
    for name, (make, shape, labels) in CASES.items():
        net = made(make)
        loss = write_case(name, net, torch.randn(3, *shape), torch.randint(0, 10, (3, *labels)), out)
        for exporter in ("ts17", "dyn"):
            strip(os.path.join(out, f"{name}.{exporter}.onnx"))
        print(f"{name}: loss {loss:.6f}")


if __name__ == "__main__":
    main()

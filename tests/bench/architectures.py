"""Small nets of many architectures, as users export them: what tests/bench/check_architectures.py trains one step of.

Each entry of NETS is a function that returns (module, example inputs, labels, loss): loss is cross_entropy (labels: class ids) or mse.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

CLASSES = 7


def ids(*shape, n=CLASSES):
    return torch.randint(0, n, shape)


class Lambda(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


def conv_bn(cin, cout, k=3, s=1, g=1, act=nn.ReLU):
    return nn.Sequential(nn.Conv2d(cin, cout, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(cout), act())


def head(c):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, CLASSES))


def image(n=3, c=3, s=16):
    return (torch.randn(n, c, s, s),)


# ---- convolutions


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.b = conv_bn(c, c), nn.Sequential(nn.Conv2d(c, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c))

    def forward(self, x):
        return F.relu(x + self.b(self.a(x)))


def resnet():
    return nn.Sequential(conv_bn(3, 8), nn.MaxPool2d(3, 2, 1), Residual(8), conv_bn(8, 12, s=2), Residual(12), head(12))


class Dense(nn.Module):
    def __init__(self, c, g):
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(c + i * g), nn.ReLU(), nn.Conv2d(c + i * g, g, 3, 1, 1)) for i in range(3))

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class SqueezeExcite(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.down, self.up = nn.Conv2d(c, 4, 1), nn.Conv2d(4, c, 1)

    def forward(self, x):
        return x * F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


def mobilenet_v3():
    return nn.Sequential(conv_bn(3, 8, s=2, act=nn.Hardswish), conv_bn(8, 24, 1, act=nn.Hardswish), conv_bn(24, 24, 5, g=24, act=nn.Hardswish),
                         SqueezeExcite(24), nn.Conv2d(24, 12, 1, bias=False), nn.BatchNorm2d(12), head(12))


def mobilenet_v2():
    return nn.Sequential(conv_bn(3, 8, s=2, act=nn.ReLU6), conv_bn(8, 16, 1, act=nn.ReLU6), conv_bn(16, 16, g=16, act=nn.ReLU6), head(16))


class Unet(nn.Module):
    def __init__(self, up):
        super().__init__()
        self.up_mode = up
        self.d1, self.d2, self.mid = conv_bn(3, 8), conv_bn(8, 12), conv_bn(12, 16)
        self.up2 = nn.ConvTranspose2d(16, 12, 2, 2) if up == "conv" else nn.Conv2d(16, 12, 1)
        self.up1 = nn.ConvTranspose2d(12, 8, 3, 2, 1, output_padding=1) if up == "conv" else nn.Conv2d(12, 8, 1)
        self.u2, self.u1, self.out = conv_bn(24, 12), conv_bn(16, 8), nn.Conv2d(8, CLASSES, 1)

    def grow(self, layer, x):
        if self.up_mode == "conv":
            return layer(x)
        corners = {"align_corners": False} if self.up_mode == "bilinear" else {"align_corners": True} if self.up_mode == "corners" else {}
        mode = "nearest" if self.up_mode == "nearest" else "bilinear"
        return layer(F.interpolate(x, scale_factor=2.0, mode=mode, **corners))

    def forward(self, x):
        a = self.d1(x)
        b = self.d2(F.max_pool2d(a, 2))
        m = self.mid(F.max_pool2d(b, 2))
        b = self.u2(torch.cat([b, self.grow(self.up2, m)], 1))
        a = self.u1(torch.cat([a, self.grow(self.up1, b)], 1))
        return self.out(a)


class ConvNextBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.dw, self.norm = nn.Conv2d(c, c, 7, padding=3, groups=c), nn.LayerNorm(c)
        self.up, self.down, self.gamma = nn.Linear(c, 3 * c), nn.Linear(3 * c, c), nn.Parameter(torch.rand(c))

    def forward(self, x):
        y = self.down(F.gelu(self.up(self.norm(self.dw(x).permute(0, 2, 3, 1)))))
        return x + (self.gamma * y).permute(0, 3, 1, 2)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.c3, self.c4 = conv_bn(3, 8, s=2, act=nn.SiLU), conv_bn(8, 16, s=2, act=nn.SiLU)
        self.lat, self.split = nn.Conv2d(16, 8, 1), conv_bn(16, 16, act=nn.SiLU)
        self.out = nn.Conv2d(16, 5 + CLASSES, 1)

    def forward(self, x):
        c3 = self.c3(x)
        c4 = self.c4(c3)
        p3 = torch.cat([c3, F.interpolate(self.lat(c4), scale_factor=2.0, mode="nearest")], 1)
        a, b = self.split(p3).chunk(2, 1)
        y = self.out(torch.cat([a, F.max_pool2d(b, 5, 1, 2)], 1))
        box, rest = y[:, :4], y[:, 4:]
        return torch.cat([torch.sigmoid(box[:, :2]) * 2 - 0.5, torch.exp(box[:, 2:]), rest], 1).flatten(2)


def pixel_shuffle():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.PReLU(8), nn.Conv2d(8, 12, 3, 1, 1), nn.PixelShuffle(2))


def autoencoder():
    return nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 12, 4, 2, 1), nn.ELU(), nn.ConvTranspose2d(12, 8, 4, 2, 1),
                         nn.Tanh(), nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Sigmoid())


def group_norm():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.GroupNorm(4, 8), nn.SiLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.Mish(), head(8))


def instance_norm():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.InstanceNorm2d(8, affine=True), nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(8, 8, 3),
                         nn.Softplus(), head(8))


def volume():
    return nn.Sequential(nn.Conv3d(2, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(6, 8, 3), nn.AdaptiveAvgPool3d(1),
                         nn.Flatten(), nn.Linear(8, CLASSES))


class Temporal(nn.Module):
    """WaveNet-like: dilated causal convolutions with gates."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(4, 8, 1)
        self.gates = nn.ModuleList(nn.Conv1d(8, 16, 2, dilation=d) for d in (1, 2, 4))
        self.out = nn.Conv1d(8, CLASSES, 1)

    def forward(self, x):
        x = self.first(x)
        for gate in self.gates:
            y = gate(F.pad(x, (gate.dilation[0], 0)))
            a, b = y.chunk(2, 1)
            x = x + torch.tanh(a) * torch.sigmoid(b)
        return self.out(x)


# ---- attention


class SelfAttention(nn.Module):
    def __init__(self, d, h, causal=False, fused=False):
        super().__init__()
        self.h, self.causal, self.fused = h, causal, fused
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = (z.reshape(n, t, self.h, d // self.h).transpose(1, 2) for z in self.qkv(x).split(d, 2))
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        else:
            s = q @ k.transpose(-2, -1) / math.sqrt(d // self.h)
            if self.causal:
                s = s.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), float("-inf"))
            y = torch.softmax(s, -1) @ v
        return self.out(y.transpose(1, 2).reshape(n, t, d))


class Block(nn.Module):
    def __init__(self, d, h, causal=False, fused=False, gelu="none"):
        super().__init__()
        self.n1, self.attn, self.n2 = nn.LayerNorm(d), SelfAttention(d, h, causal, fused), nn.LayerNorm(d)
        self.up, self.down, self.gelu = nn.Linear(d, 3 * d), nn.Linear(3 * d, d), gelu

    def forward(self, x):
        x = x + self.attn(self.n1(x))
        return x + self.down(F.gelu(self.up(self.n2(x)), approximate=self.gelu))


class Vit(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.patch, self.cls, self.pos = nn.Conv2d(3, d, 4, 4), nn.Parameter(torch.randn(1, 1, d)), nn.Parameter(torch.randn(1, 17, d))
        self.blocks, self.norm, self.head = nn.Sequential(Block(d, 2), Block(d, 2, fused=True)), nn.LayerNorm(d), nn.Linear(d, CLASSES)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
        return self.head(self.norm(self.blocks(x))[:, 0])


class Swin(nn.Module):
    """Two window-attention layers, the second one shifted, with relative position bias; then patch merging."""

    def __init__(self, d=12, w=4, s=8):
        super().__init__()
        self.d, self.w, self.s, self.h = d, w, s, 2
        self.patch = nn.Conv2d(3, d, 2, 2)
        self.qkv = nn.ModuleList(nn.Linear(d, 3 * d) for _ in range(2))
        self.proj = nn.ModuleList(nn.Linear(d, d) for _ in range(2))
        self.norm = nn.ModuleList(nn.LayerNorm(d) for _ in range(2))
        self.table = nn.ParameterList(nn.Parameter(torch.randn((2 * w - 1) ** 2, self.h)) for _ in range(2))
        at = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(w), indexing="ij")).flatten(1)
        rel = (at[:, :, None] - at[:, None, :]).permute(1, 2, 0) + w - 1
        self.register_buffer("distance", (rel[..., 0] * (2 * w - 1) + rel[..., 1]).flatten())
        zone = torch.zeros(s, s)
        for i, a in enumerate((slice(0, -w), slice(-w, -w // 2), slice(-w // 2, None))):
            for j, b in enumerate((slice(0, -w), slice(-w, -w // 2), slice(-w // 2, None))):
                zone[a, b] = 3 * i + j
        zone = zone.reshape(s // w, w, s // w, w).transpose(1, 2).reshape(-1, w * w)
        self.register_buffer("mask", (zone[:, None] != zone[:, :, None]).float() * -100.0)
        self.merge, self.head = nn.Linear(4 * d, d), nn.Linear(d, CLASSES)

    def window(self, x, k, shift):
        n, s, w, d = x.shape[0], self.s, self.w, self.d
        y = self.norm[k](x)
        if shift:
            y = torch.roll(y, (-shift, -shift), (1, 2))
        y = y.reshape(n, s // w, w, s // w, w, d).transpose(2, 3).reshape(-1, w * w, d)
        q, k_, v = self.qkv[k](y).reshape(-1, w * w, 3, self.h, d // self.h).permute(2, 0, 3, 1, 4).unbind(0)
        a = q @ k_.transpose(-2, -1) / math.sqrt(d // self.h)
        a = a + self.table[k][self.distance].reshape(w * w, w * w, self.h).permute(2, 0, 1)
        if shift:
            a = (a.reshape(n, -1, self.h, w * w, w * w) + self.mask[None, :, None]).reshape(-1, self.h, w * w, w * w)
        y = self.proj[k]((a.softmax(-1) @ v).transpose(1, 2).reshape(-1, w * w, d))
        y = y.reshape(n, s // w, s // w, w, w, d).transpose(2, 3).reshape(n, s, s, d)
        if shift:
            y = torch.roll(y, (shift, shift), (1, 2))
        return x + y

    def forward(self, x):
        x = self.patch(x).permute(0, 2, 3, 1)
        x = self.window(self.window(x, 0, 0), 1, self.w // 2)
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        return self.head(self.merge(x).mean((1, 2)))


class Bert(nn.Module):
    def __init__(self, d=16, vocabulary=37):
        super().__init__()
        self.word, self.place, self.kind = nn.Embedding(vocabulary, d), nn.Embedding(16, d), nn.Embedding(2, d)
        self.norm = nn.LayerNorm(d, eps=1e-12)
        layer = lambda: nn.TransformerEncoderLayer(d, 2, 32, 0.0, "gelu", batch_first=True)
        self.layers, self.pool, self.head = nn.ModuleList([layer(), layer()]), nn.Linear(d, d), nn.Linear(d, CLASSES)

    def forward(self, tokens, mask):
        x = self.norm(self.word(tokens) + self.place(torch.arange(tokens.shape[1])) + self.kind(torch.zeros_like(tokens)))
        wall = (1.0 - mask.to(x.dtype))[:, None, None, :] * -10000.0
        for layer in self.layers:
            a = layer.self_attn
            n, t, d = x.shape
            q, k, v = (z.reshape(n, t, 2, d // 2).transpose(1, 2) for z in F.linear(x, a.in_proj_weight, a.in_proj_bias).chunk(3, -1))
            y = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(d // 2) + wall, -1) @ v
            x = layer.norm1(x + a.out_proj(y.transpose(1, 2).reshape(n, t, d)))
            x = layer.norm2(x + layer.linear2(F.gelu(layer.linear1(x))))
        return self.head(torch.tanh(self.pool(x[:, 0])))


class Gpt2(nn.Module):
    def __init__(self, d=16, vocabulary=29, t=12):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, d), nn.Embedding(t, d)
        self.blocks, self.norm = nn.Sequential(Block(d, 2, True, gelu="tanh"), Block(d, 2, True, True, "tanh")), nn.LayerNorm(d)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        return self.norm(self.blocks(x)) @ self.wte.weight.t()


class RmsNorm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class Llama(nn.Module):
    """Grouped-query attention, rotary positions, RMS norms, SwiGLU."""

    def __init__(self, d=16, h=4, kv=2, vocabulary=31, t=10):
        super().__init__()
        self.h, self.kv, self.e = h, kv, d // h
        self.embed, self.norms = nn.Embedding(vocabulary, d), nn.ModuleList(RmsNorm(d) for _ in range(3))
        self.q, self.k, self.v = nn.Linear(d, d, False), nn.Linear(d, kv * self.e, False), nn.Linear(d, kv * self.e, False)
        self.o, self.gate, self.up, self.down = nn.Linear(d, d, False), nn.Linear(d, 24, False), nn.Linear(d, 24, False), nn.Linear(24, d, False)
        self.head = nn.Linear(d, vocabulary, False)
        angle = torch.arange(t)[:, None] / 10000 ** (torch.arange(0, self.e, 2) / self.e)
        self.register_buffer("angle", torch.cat([angle, angle], -1))

    def turn(self, x):
        half = x.shape[-1] // 2
        rotated = torch.cat([-x[..., half:], x[..., :half]], -1)
        angle = self.angle[: x.shape[2]]
        return x * angle.cos() + rotated * angle.sin()

    def forward(self, tokens):
        n, t = tokens.shape
        x = self.embed(tokens)
        y = self.norms[0](x)
        q = self.turn(self.q(y).reshape(n, t, self.h, self.e).transpose(1, 2))
        k = self.turn(self.k(y).reshape(n, t, self.kv, self.e).transpose(1, 2))
        v = self.v(y).reshape(n, t, self.kv, self.e).transpose(1, 2)
        repeat = lambda z: z[:, :, None].expand(n, self.kv, self.h // self.kv, t, self.e).reshape(n, self.h, t, self.e)
        a = q @ repeat(k).transpose(-1, -2) / math.sqrt(self.e)
        a = a + torch.full((t, t), torch.finfo(a.dtype).min, dtype=a.dtype).triu(1)
        x = x + self.o((a.softmax(-1) @ repeat(v)).transpose(1, 2).reshape(n, t, -1))
        y = self.norms[1](x)
        x = x + self.down(F.silu(self.gate(y)) * self.up(y))
        return self.head(self.norms[2](x))


class EncoderDecoder(nn.Module):
    def __init__(self, d=16, vocabulary=23):
        super().__init__()
        self.source, self.target = nn.Embedding(vocabulary, d), nn.Embedding(vocabulary, d)
        self.enc, self.dec, self.cross = Block(d, 2), Block(d, 2, True), nn.MultiheadAttention(d, 2, batch_first=True)
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, vocabulary)

    def forward(self, source, target):
        memory, y = self.enc(self.source(source)), self.dec(self.target(target))
        return self.head(self.norm(y + self.cross(y, memory, memory, need_weights=False)[0]))


class RelativeAttention(nn.Module):
    """Unscaled attention with a learned bias per head and bucket of distance: near distances exact, far ones on a logarithmic scale."""

    def __init__(self, d, h, both_ways=None, buckets=8, farthest=16):
        super().__init__()
        self.h, self.both_ways, self.buckets, self.farthest = h, both_ways, buckets, farthest
        self.q, self.k, self.v, self.o = (nn.Linear(d, d, False) for _ in range(4))
        self.bias = None if both_ways is None else nn.Embedding(buckets, h)

    def bucket(self, distance):
        n, first = self.buckets, 0
        if self.both_ways:
            n //= 2
            first, distance = (distance > 0).long() * n, distance.abs()
        else:
            distance = -torch.min(distance, torch.zeros_like(distance))
        exact = n // 2
        far = exact + (torch.log(distance.float() / exact) / math.log(self.farthest / exact) * (n - exact)).long()
        return first + torch.where(distance < exact, distance, torch.min(far, torch.full_like(far, n - 1)))

    def forward(self, x, memory, mask=None):
        n, t, d = x.shape
        heads = lambda y: y.reshape(n, -1, self.h, d // self.h).transpose(1, 2)
        a = heads(self.q(x)) @ heads(self.k(memory)).transpose(-1, -2)
        if self.bias is not None:
            distance = torch.arange(memory.shape[1])[None] - torch.arange(t)[:, None]
            a = a + self.bias(self.bucket(distance)).permute(2, 0, 1)
        a = a if mask is None else a + mask
        return self.o((a.softmax(-1) @ heads(self.v(memory))).transpose(1, 2).reshape(n, t, d))


class T5(nn.Module):
    """Relative positions, RMS norms, gated GELU; one table for both inputs and the head; padded sources are masked."""

    def __init__(self, d=16, h=2, vocabulary=29):
        super().__init__()
        self.embed, self.norms = nn.Embedding(vocabulary, d), nn.ModuleList(RmsNorm(d) for _ in range(5))
        self.enc, self.dec, self.cross = RelativeAttention(d, h, True), RelativeAttention(d, h, False), RelativeAttention(d, h)
        self.gate, self.up, self.down = nn.Linear(d, 24, False), nn.Linear(d, 24, False), nn.Linear(24, d, False)

    def forward(self, source, target):
        x, t = self.embed(source), target.shape[1]
        lowest = torch.finfo(x.dtype).min
        padding = (1.0 - (source != 0)[:, None, None, :].to(x.dtype)) * lowest
        y = self.norms[0](x)
        memory = self.norms[1](x + self.enc(y, y, padding))
        z = self.embed(target)
        y = self.norms[2](z)
        z = z + self.dec(y, y, torch.full((t, t), lowest, dtype=z.dtype).triu(1))
        z = z + self.cross(self.norms[3](z), memory, padding)
        y = self.norms[4](z)
        z = z + self.down(F.gelu(self.gate(y), approximate="tanh") * self.up(y))
        return F.linear(z * z.shape[-1] ** -0.5, self.embed.weight)


class Mixer(nn.Module):
    def __init__(self, d=16, t=16):
        super().__init__()
        self.patch, self.n1, self.n2 = nn.Conv2d(3, d, 4, 4), nn.LayerNorm(d), nn.LayerNorm(d)
        self.t1, self.t2, self.c1, self.c2 = nn.Linear(t, 24), nn.Linear(24, t), nn.Linear(d, 24), nn.Linear(24, d)
        self.head = nn.Linear(d, CLASSES)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.t2(F.gelu(self.t1(self.n1(x).transpose(1, 2)))).transpose(1, 2)
        x = x + self.c2(F.gelu(self.c1(self.n2(x))))
        return self.head(x.mean(1))


class EinsumAttention(nn.Module):
    def __init__(self, d=12, h=3):
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, d, h, d // h) / 3)
        self.o = nn.Parameter(torch.randn(h, d // h, CLASSES) / 3)

    def forward(self, x):
        q, k, v = torch.einsum("btd,zdhe->zbhte", x, self.w)
        a = torch.einsum("bhte,bhse->bhts", q, k).softmax(-1)
        return torch.einsum("bhts,bhse,hec->btc", a, v, self.o).mean(1)


class Moe(nn.Module):
    """Top-2 of 4 experts, dense form."""

    def __init__(self, d=12):
        super().__init__()
        self.gate, self.experts = nn.Linear(d, 4), nn.ModuleList(nn.Linear(d, d) for _ in range(4))
        self.head = nn.Linear(d, CLASSES)

    def forward(self, x):
        score, which = torch.topk(self.gate(x), 2, dim=-1)
        weight = torch.zeros(x.shape[0], 4).to(score.dtype).scatter(1, which, score.softmax(-1))
        y = torch.stack([F.relu(e(x)) for e in self.experts], 1)
        return self.head((weight[..., None] * y).sum(1))


# ---- recurrent


class Tagger(nn.Module):
    def __init__(self, cell, layers=1, both=False, d=8, h=10):
        super().__init__()
        self.embed = nn.Embedding(19, d)
        self.cell = cell(d, h, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(h * (2 if both else 1), CLASSES)

    def forward(self, tokens):
        return self.head(self.cell(self.embed(tokens))[0])


class Activations(nn.Module):
    def __init__(self):
        super().__init__()
        kinds = [nn.SELU, nn.CELU, nn.Softsign, nn.LogSigmoid, nn.Hardtanh, nn.GELU, nn.Tanhshrink, nn.Softshrink]
        self.layers, self.acts = nn.ModuleList(nn.Linear(9, 9) for _ in kinds), nn.ModuleList(k() for k in kinds)
        self.head = nn.Linear(9, CLASSES)

    def forward(self, x):
        for layer, act in zip(self.layers, self.acts):
            x = x + act(layer(x))
        return F.log_softmax(self.head(x), -1)


class Geometry(nn.Module):
    """Norms, distances, sines: mathematics outside of layers."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 12), nn.Parameter(torch.randn(5, 12))

    def forward(self, x):
        y = F.normalize(self.a(x), dim=-1)
        d = (y[:, None] - self.b[None]).pow(2).sum(-1).clamp(min=1e-6).sqrt()
        angle = torch.atan2(y[:, :5], y[:, 5:10].abs() + 0.5)
        return torch.cat([torch.exp(-d), torch.sin(angle), torch.cumsum(d, 1).log1p(), torch.where(d > 1, d, d * d), d.amax(1, True)], 1)


def targets(net, x):
    with torch.no_grad():
        return torch.randn_like(net(*x))


def classified(net, x, *shape, n=CLASSES):
    return net, x, ids(*shape, n=n), "cross_entropy"


def regressed(net, x):
    return net, x, targets(net, x), "mse"


tokens = lambda n=3, t=9, v=19: (ids(n, t, n=v),)

NETS = {
    "mlp": lambda: classified(nn.Sequential(nn.Linear(9, 16), nn.ReLU(), nn.Linear(16, CLASSES)), (torch.randn(4, 9),), 4),
    "vgg": lambda: classified(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
                                            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(128, 16), nn.ReLU(), nn.Linear(16, CLASSES)), image(), 3),
    "resnet": lambda: classified(resnet(), image(), 3),
    "densenet": lambda: classified(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Dense(8, 4), conv_bn(20, 10, 1), nn.AvgPool2d(2), Dense(10, 4), head(22)), image(), 3),
    "mobilenet_v2": lambda: classified(mobilenet_v2(), image(), 3),
    "mobilenet_v3": lambda: classified(mobilenet_v3(), image(), 3),
    "convnext": lambda: classified(nn.Sequential(nn.Conv2d(3, 8, 4, 4), ConvNextBlock(8), ConvNextBlock(8), head(8)), image(), 3),
    "unet_transpose": lambda: classified(Unet("conv"), image(2), 2, 16, 16),
    "unet_nearest": lambda: classified(Unet("nearest"), image(2), 2, 16, 16),
    "unet_bilinear": lambda: classified(Unet("bilinear"), image(2), 2, 16, 16),
    "unet_corners": lambda: classified(Unet("corners"), image(2), 2, 16, 16),
    "detector": lambda: regressed(Detector(), image(2)),
    "pixel_shuffle": lambda: regressed(pixel_shuffle(), image(2, 3, 8)),
    "autoencoder": lambda: regressed(autoencoder(), image(2)),
    "group_norm": lambda: classified(group_norm(), image(), 3),
    "instance_norm": lambda: classified(instance_norm(), image(), 3),
    "volume": lambda: classified(volume(), (torch.randn(2, 2, 8, 8, 8),), 2),
    "temporal": lambda: classified(Temporal(), (torch.randn(2, 4, 12),), 2, 12),
    "vit": lambda: classified(Vit(), image(), 3),
    "swin": lambda: classified(Swin(), image(2), 2),
    "bert": lambda: classified(Bert(), (ids(3, 9, n=37), (torch.rand(3, 9) > 0.2).long()), 3),
    "gpt2": lambda: classified(Gpt2(), tokens(2, 10, 29), 2, 10, n=29),
    "llama": lambda: classified(Llama(), tokens(2, 8, 31), 2, 8, n=31),
    "encoder_decoder": lambda: classified(EncoderDecoder(), (ids(2, 7, n=23), ids(2, 6, n=23)), 2, 6, n=23),
    "t5": lambda: classified(T5(), (ids(2, 9, n=29) * (torch.arange(9) < 6), ids(2, 7, n=29)), 2, 7, n=29),
    "mixer": lambda: classified(Mixer(), image(), 3),
    "einsum": lambda: classified(EinsumAttention(), (torch.randn(2, 5, 12),), 2),
    "moe": lambda: classified(Moe(), (torch.randn(5, 12),), 5),
    "lstm": lambda: classified(Tagger(nn.LSTM, 2, True), tokens(), 3, 9),
    "gru": lambda: classified(Tagger(nn.GRU, 1, True), tokens(), 3, 9),
    "rnn": lambda: classified(Tagger(nn.RNN), tokens(), 3, 9),
    "activations": lambda: classified(Activations(), (torch.randn(6, 9),), 6),
    "geometry": lambda: regressed(Geometry(), (torch.randn(4, 6),)),
}

"""Transformers of language: encoders, decoders, both; masks, positions and tied tables."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from .attention import Block
from .parts import CLASSES, classified, head, ids, tokens


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


class Decoder(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.e = nn.Embedding(23, d, padding_idx=0)
        self.l = nn.TransformerDecoderLayer(d, 2, 24, 0.0, batch_first=True, norm_first=True, activation="gelu")
        self.m = nn.TransformerEncoderLayer(d, 4, 24, 0.0, batch_first=True)
        self.o = nn.Linear(d, 23)

    def forward(self, a, b):
        pad = a == 0
        m = self.m(self.e(a), src_key_padding_mask=pad)
        t = b.shape[1]
        mask = torch.full((t, t), float("-inf")).triu(1)
        return self.o(self.l(self.e(b), m, tgt_mask=mask, memory_key_padding_mask=pad))


class Distil(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.w = nn.Embedding(37, d, padding_idx=0)
        self.p = nn.Embedding(12, d)
        self.n = nn.LayerNorm(d, eps=1e-12)
        self.drop = nn.Dropout(0.0)
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.n1 = nn.LayerNorm(d, eps=1e-12)
        self.f1 = nn.Linear(d, 32)
        self.f2 = nn.Linear(32, d)
        self.n2 = nn.LayerNorm(d, eps=1e-12)
        self.h = nn.Linear(d, CLASSES)

    def forward(self, i, m):
        n, t = i.shape
        x = self.drop(self.n(self.w(i) + self.p(torch.arange(t, device=i.device).unsqueeze(0).expand_as(i))))
        sh = lambda y: y.view(n, -1, 2, y.shape[-1] // 2).transpose(1, 2)
        q = sh(self.q(x)) / math.sqrt(8)
        a = torch.matmul(q, sh(self.k(x)).transpose(2, 3))
        mask = (m == 0).view(n, 1, 1, t).expand_as(a)
        a = a.masked_fill(mask, torch.tensor(torch.finfo(torch.float32).min))
        a = self.drop(torch.softmax(a, -1))
        c = torch.matmul(a, sh(self.v(x))).transpose(1, 2).contiguous().view(n, -1, 16)
        x = self.n1(self.o(c) + x)
        x = self.n2(self.drop(self.f2(F.gelu(self.f1(x)))) + x)
        return self.h(self.drop(F.relu(x[:, 0])))


class Tied(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.e = nn.Embedding(29, d)
        self.l = nn.Linear(d, d)
        self.b = nn.Parameter(torch.randn(29))

    def forward(self, i):
        x = self.e(i) * math.sqrt(16)
        x = x + F.gelu(self.l(x))
        return F.linear(x, self.e.weight, self.b)


class T5Bias(nn.Module):
    def __init__(self, d=16, t=7):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.b = nn.Embedding(32, 4)
        self.n = nn.LayerNorm(d, bias=False)
        self.h = nn.Linear(d, CLASSES)
        r = torch.arange(t)[None] - torch.arange(t)[:, None]
        self.register_buffer("k_", r.abs().clamp(max=15) + (r > 0).long() * 16)

    def forward(self, x):
        n, t, d = x.shape
        y = self.n(x)
        f = lambda z: z.view(n, t, 4, 4).transpose(1, 2)
        a = f(self.q(y)) @ f(self.k(y)).transpose(3, 2) + self.b(self.k_).permute(2, 0, 1).unsqueeze(0)
        return self.h(x + self.o((F.softmax(a.float(), -1).type_as(a) @ f(self.v(y))).transpose(1, 2).contiguous().view(n, t, d)))


class RopeComplexless(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.q = nn.Linear(d, 2 * d)
        self.o = nn.Linear(d, CLASSES)
        self.n = nn.RMSNorm(d)

    def forward(self, x):
        n, t, d = x.shape
        q, k = self.q(self.n(x)).chunk(2, -1)
        inv = 1 / 10000 ** (torch.arange(0, d, 2) / d)
        a = torch.outer(torch.arange(t).float(), inv)
        c, si = (a.cos().repeat_interleave(2, -1), a.sin().repeat_interleave(2, -1))
        rot = lambda z: z * c + torch.stack([-z[..., 1::2], z[..., ::2]], -1).flatten(-2) * si
        return self.o(torch.tril(rot(q) @ rot(k).transpose(1, 2)) @ x / t)


NETS = {
    "bert": lambda: classified(Bert(), (ids(3, 9, n=37), (torch.rand(3, 9) > 0.2).long()), 3),
    "gpt2": lambda: classified(Gpt2(), tokens(2, 10, 29), 2, 10, n=29),
    "llama": lambda: classified(Llama(), tokens(2, 8, 31), 2, 8, n=31),
    "encoder_decoder": lambda: classified(EncoderDecoder(), (ids(2, 7, n=23), ids(2, 6, n=23)), 2, 6, n=23),
    "t5": lambda: classified(T5(), (ids(2, 9, n=29) * (torch.arange(9) < 6), ids(2, 7, n=29)), 2, 7, n=29),
    "decoder": lambda: classified(Decoder(), (ids(2, 7, n=23) * (torch.arange(7) < 5), ids(2, 6, n=23)), 2, 6, n=23),
    "distilbert": lambda: classified(Distil(), (ids(3, 9, n=37), (torch.rand(3, 9) > 0.2).long()), 3),
    "tied": lambda: classified(Tied(), tokens(2, 6, 29), 2, 6, n=29),
    "t5bias": lambda: classified(T5Bias(), (torch.randn(2, 7, 16),), 2, 7),
    "rope": lambda: classified(RopeComplexless(), (torch.randn(2, 6, 16),), 2, 6),
}

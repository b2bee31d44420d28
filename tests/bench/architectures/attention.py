"""Attention in its various spellings, and transformers of pictures."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from .parts import CLASSES, classified, head, image


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


class Mha(nn.Module):
    def __init__(self, d=12):
        super().__init__()
        self.a = nn.MultiheadAttention(d, 3, kdim=8, vdim=10, bias=False, batch_first=True)
        self.b = nn.MultiheadAttention(d, 2, add_bias_kv=True)
        self.o = nn.Linear(d, CLASSES)

    def forward(self, q, k, v):
        y, w = self.a(q, k, v, average_attn_weights=True)
        z, _ = self.b(y.transpose(0, 1), y.transpose(0, 1), y.transpose(0, 1))
        return self.o((z.transpose(0, 1) + w.sum(-1, keepdim=True)).mean(1))


class Masked(nn.Module):
    def __init__(self, d=12):
        super().__init__()
        self.q = nn.Linear(d, 3 * d)
        self.o = nn.Linear(d, CLASSES)

    def forward(self, x, m):
        q, k, v = self.q(x).split(12, -1)
        a = q @ k.transpose(1, 2) / 12 ** 0.5
        a = torch.where(m.bool()[:, None, :], a, torch.tensor(float("-inf")))
        return self.o(F.softmax(a, -1) @ v)


class EinsumMix(nn.Module):
    def __init__(self, d=12):
        super().__init__()
        self.q = nn.Parameter(torch.randn(d, 3, 4) / 3)
        self.r = nn.Parameter(torch.randn(3, 4, CLASSES) / 3)
        self.t = nn.Parameter(torch.randn(5, 5))

    def forward(self, x):
        q = torch.einsum("btd,dhe->bhte", x, self.q)
        a = torch.einsum("bhie,bhje,ij->bhij", q, q, self.t).softmax(-1)
        return torch.einsum("bhij,bhje,hec->bc", a, q, self.r)


class Sdpa(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.q = nn.Linear(d, d)
        self.kv = nn.Linear(d, 8)
        self.o = nn.Linear(d, CLASSES)

    def forward(self, x, m):
        n, t, d = x.shape
        q = self.q(x).view(n, t, 4, 4).transpose(1, 2)
        k, v = self.kv(x)[:, :, None].expand(n, t, 4, 8).transpose(1, 2).split(4, -1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True) + F.scaled_dot_product_attention(q, k, v, attn_mask=m[:, None, None, :].bool(), scale=0.3)
        return self.o(y.transpose(1, 2).reshape(n, t, d))


class Swiglu(nn.Module):
    def __init__(self, d=12):
        super().__init__()
        self.n = nn.ModuleList((nn.LayerNorm(d) for _ in range(2)))
        self.w = nn.Linear(d, 32)
        self.o = nn.Linear(16, d)
        self.g = nn.Linear(d, d)
        self.h = nn.Linear(d, CLASSES)
        self.ls = nn.Parameter(torch.full((d,), 0.1))
        self.cls = nn.Parameter(torch.randn(1, 1, d))
        self.pos = nn.Parameter(torch.randn(1, 9, d))

    def forward(self, x):
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos[:, :x.shape[1] + 1]
        a, b = self.w(self.n[0](x)).chunk(2, -1)
        x = x + self.ls * self.o(F.silu(a) * b)
        x = x + torch.sigmoid(self.g(self.n[1](x))) * x.mean(1, keepdim=True)
        return self.h(x[:, 0])


NETS = {
    "vit": lambda: classified(Vit(), image(), 3),
    "swin": lambda: classified(Swin(), image(2), 2),
    "einsum": lambda: classified(EinsumAttention(), (torch.randn(2, 5, 12),), 2),
    "moe": lambda: classified(Moe(), (torch.randn(5, 12),), 5),
    "mha": lambda: classified(Mha(), (torch.randn(3, 5, 12), torch.randn(3, 6, 8), torch.randn(3, 6, 10)), 3),
    "masked": lambda: classified(Masked(), (torch.randn(3, 6, 12), torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0]])), 3, 6),
    "einsum_mix": lambda: classified(EinsumMix(), (torch.randn(2, 5, 12),), 2),
    "sdpa": lambda: classified(Sdpa(), (torch.randn(2, 6, 16), torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]])), 2, 6),
    "swiglu": lambda: classified(Swiglu(), (torch.randn(3, 8, 12),), 3),
}

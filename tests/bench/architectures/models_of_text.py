"""Language models that differ from BERT and GPT-2 in their positions, masks, sharing or recurrence."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from .parts import CLASSES, classified, ids, tokens, with_loss

WORDS = 19


def split(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge(x):
    return x.transpose(1, 2).flatten(2)


class Alibi(nn.Module):
    """Shared layers (ALBERT), linear position biases (ALiBi), factored embedding."""

    def __init__(self, d=16, heads=4):
        super().__init__()
        self.heads, self.words, self.wide = heads, nn.Embedding(WORDS, 6), nn.Linear(6, d)
        self.qkv, self.o, self.up, self.down = nn.Linear(d, 3 * d), nn.Linear(d, d), nn.Linear(d, 32), nn.Linear(32, d)
        self.n1, self.n2, self.head = nn.LayerNorm(d), nn.LayerNorm(d), nn.Linear(d, WORDS, bias=False)
        self.register_buffer("slopes", 2.0 ** -torch.arange(1, heads + 1))

    def forward(self, x):
        t = torch.arange(x.shape[1])
        bias = -(t[:, None] - t).abs() * self.slopes[:, None, None]
        bias = bias.masked_fill(t[None, :] > t[:, None], float("-inf"))
        y = self.wide(self.words(x))
        for _ in range(2):
            q, k, v = (split(z, self.heads) for z in self.qkv(self.n1(y)).chunk(3, -1))
            y = y + self.o(merge(F.scaled_dot_product_attention(q, k, v, attn_mask=bias)))
            y = y + self.down(F.gelu(self.up(self.n2(y)), approximate="tanh"))
        return self.head(y)


class Roberta(nn.Module):
    """Positions counted from the padding mask; the first token is pooled; nn.TransformerEncoder with a padding mask."""

    def __init__(self, d=16):
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, d, padding_idx=1), nn.Embedding(14, d, padding_idx=1)
        self.body = nn.TransformerEncoder(nn.TransformerEncoderLayer(d, 2, 32, dropout=0.0, activation="gelu", batch_first=True), 2, enable_nested_tensor=False)
        self.pool, self.head = nn.Linear(d, d), nn.Linear(d, CLASSES)

    def forward(self, x):
        keep = x.ne(1)
        places = torch.cumsum(keep.int(), 1) * keep + 1
        y = self.body(self.words(x) + self.places(places), src_key_padding_mask=~keep)
        return self.head(torch.tanh(self.pool(y[:, 0])))


class Neox(nn.Module):
    """Parallel residual, rotary embedding of a part of each head, untied head."""

    def __init__(self, d=16, heads=2):
        super().__init__()
        self.heads, self.words = heads, nn.Embedding(WORDS, d)
        self.qkv, self.o, self.up, self.down = nn.Linear(d, 3 * d), nn.Linear(d, d), nn.Linear(d, 32), nn.Linear(32, d)
        self.n1, self.n2, self.n3, self.head = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d), nn.Linear(d, WORDS)

    def turn(self, x, rotary=4):
        t = torch.arange(x.shape[-2], dtype=x.dtype)
        angle = torch.outer(t, 1.0 / (100.0 ** (torch.arange(0, rotary, 2, dtype=x.dtype) / rotary)))
        angle = torch.cat([angle, angle], -1)
        a, rest = x[..., :rotary], x[..., rotary:]
        turned = torch.cat([-a[..., rotary // 2:], a[..., : rotary // 2]], -1)
        return torch.cat([a * angle.cos() + turned * angle.sin(), rest], -1)

    def forward(self, x):
        y = self.words(x)
        q, k, v = (split(z, self.heads) for z in self.qkv(self.n1(y)).chunk(3, -1))
        a = self.o(merge(F.scaled_dot_product_attention(self.turn(q), self.turn(k), v, is_causal=True)))
        return self.head(self.n3(y + a + self.down(F.gelu(self.up(self.n2(y))))))


class Gemma(nn.Module):
    """Offset RMSNorm, scaled embedding tied to the head, GeGLU, capped scores and logits, a sliding window, one key head."""

    def __init__(self, d=16, heads=4):
        super().__init__()
        self.heads, self.words = heads, nn.Embedding(WORDS, d)
        self.q, self.kv, self.o = nn.Linear(d, d, bias=False), nn.Linear(d, d // 2, bias=False), nn.Linear(d, d, bias=False)
        self.gate, self.up, self.down = nn.Linear(d, 24, bias=False), nn.Linear(d, 24, bias=False), nn.Linear(24, d, bias=False)
        self.norms = nn.ParameterList(nn.Parameter(torch.zeros(d)) for _ in range(3))

    def norm(self, x, weight):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1 + weight)

    def forward(self, x):
        y = self.words(x) * 4.0
        n = self.norm(y, self.norms[0])
        q, (k, v) = split(self.q(n), self.heads), self.kv(n).unsqueeze(1).chunk(2, -1)
        scores = 5.0 * torch.tanh(q @ k.transpose(-1, -2) / 2 / 5.0)
        t = torch.arange(x.shape[1])
        far = (t[None] > t[:, None]) | (t[:, None] - t[None] >= 4)
        y = y + self.o(merge(scores.masked_fill(far, -1e9).softmax(-1) @ v))
        n = self.norm(y, self.norms[1])
        y = y + self.down(F.gelu(self.gate(n), approximate="tanh") * self.up(n))
        return 3.0 * torch.tanh(F.linear(self.norm(y, self.norms[2]), self.words.weight) / 3.0)


class LinearAttention(nn.Module):
    """Attention as running sums of positive features, then one with compressed keys (Linformer), then a retention with decay."""

    def __init__(self, d=12, t=9):
        super().__init__()
        self.words, self.qkv, self.short = nn.Embedding(WORDS, d), nn.Linear(d, 3 * d), nn.Parameter(torch.randn(4, t))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, WORDS)

    def forward(self, x):
        y = self.words(x)
        q, k, v = self.qkv(y).chunk(3, -1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        sums = torch.cumsum(torch.einsum("btd,bte->btde", k, v), 1)
        y = y + torch.einsum("btd,btde->bte", q, sums) / torch.einsum("btd,btd->bt", q, k.cumsum(1))[..., None].clamp_min(1e-6)
        q, k, v = self.qkv(self.norm(y)).chunk(3, -1)
        y = y + (q @ (self.short @ k).transpose(1, 2) / 3.0).softmax(-1) @ (self.short @ v)
        q, k, v = self.qkv(self.norm(y)).chunk(3, -1)
        t = torch.arange(x.shape[1])
        decay = torch.where(t[:, None] >= t, 0.9 ** (t[:, None] - t).clamp(min=0).to(y.dtype), 0.0)
        return self.head(y + (q @ k.transpose(1, 2) * decay) @ v)


class Rwkv(nn.Module):
    """Token shift, and a recurrence in the logarithm over time, step by step."""

    def __init__(self, d=8):
        super().__init__()
        self.words, self.mix = nn.Embedding(WORDS, d), nn.Parameter(torch.rand(3, d))
        self.k, self.v, self.r, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.decay, self.first, self.norm, self.head = nn.Parameter(torch.rand(d)), nn.Parameter(torch.rand(d)), nn.LayerNorm(d), nn.Linear(d, WORDS)

    def forward(self, x):
        y = self.norm(self.words(x))
        before = F.pad(y, (0, 0, 1, -1))
        k, v, r = (f(torch.lerp(before, y, m)) for f, m in zip((self.k, self.v, self.r), self.mix))
        a = b = torch.zeros_like(k[:, 0])
        top, out = torch.full_like(a, -1e30), []
        for t in range(x.shape[1]):
            m = torch.maximum(top, self.first + k[:, t])
            old, new = torch.exp(top - m), torch.exp(self.first + k[:, t] - m)
            out.append((old * a + new * v[:, t]) / (old * b + new))
            m = torch.maximum(top - self.decay.exp(), k[:, t])
            old, new = torch.exp(top - self.decay.exp() - m), torch.exp(k[:, t] - m)
            a, b, top = old * a + new * v[:, t], old * b + new, m
        return self.head(self.o(torch.stack(out, 1) * r.sigmoid()))


class TextConvolution(nn.Module):
    """Convolutions of several widths, highway layers (char CNN), max over time."""

    def __init__(self):
        super().__init__()
        self.words, self.convs = nn.Embedding(WORDS, 8), nn.ModuleList(nn.Conv1d(8, 6, w) for w in (2, 3, 4))
        self.gate, self.way, self.head = nn.Linear(18, 18), nn.Linear(18, 18), nn.Linear(18, CLASSES)

    def forward(self, x):
        y = self.words(x).transpose(1, 2)
        y = torch.cat([F.max_pool1d(F.relu(c(y)), int(c(y).shape[-1])).squeeze(-1) for c in self.convs], 1)
        g = torch.sigmoid(self.gate(y))
        return F.log_softmax(self.head(g * F.relu(self.way(y)) + (1 - g) * y), 1)


class Tagger(nn.Module):
    """Bidirectional LSTM of two layers, and the negative log-likelihood of a linear chain (CRF)."""

    def __init__(self, tags=5):
        super().__init__()
        self.words, self.lstm = nn.Embedding(WORDS, 8), nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True)
        self.score, self.start, self.move = nn.Linear(12, tags), nn.Parameter(torch.rand(tags)), nn.Parameter(torch.rand(tags, tags))

    def forward(self, x, tags):
        y = self.score(self.lstm(self.words(x))[0])
        alpha = self.start + y[:, 0]
        for t in range(1, x.shape[1]):
            alpha = torch.logsumexp(alpha[:, :, None] + self.move + y[:, t, None, :], 1)
        path = y.gather(2, tags[..., None]).squeeze(-1).sum(1) + self.start[tags[:, 0]] + self.move[tags[:, :-1], tags[:, 1:]].sum(1)
        return (torch.logsumexp(alpha, 1) - path).mean(), y


class Cells(nn.Module):
    """LSTMCell and GRUCell by hand over time, with additive attention over what they wrote."""

    def __init__(self, d=8):
        super().__init__()
        self.words, self.lstm, self.gru = nn.Embedding(WORDS, d), nn.LSTMCell(d, d), nn.GRUCell(2 * d, d)
        self.a, self.b, self.v, self.head = nn.Linear(d, d), nn.Linear(d, d, bias=False), nn.Linear(d, 1), nn.Linear(d, WORDS)

    def forward(self, x):
        y = self.words(x)
        h = c = g = torch.zeros_like(y[:, 0])
        states, out = [], []
        for t in range(x.shape[1]):
            h, c = self.lstm(y[:, t], (h, c))
            states.append(h)
        memory = torch.stack(states, 1)
        for t in range(3):
            weight = torch.softmax(self.v(torch.tanh(self.a(g)[:, None] + self.b(memory))), 1)
            g = self.gru(torch.cat([y[:, t], (weight * memory).sum(1)], -1), g)
            out.append(self.head(g))
        return torch.stack(out, 1)


class Longformer(nn.Module):
    """Attention inside overlapping windows cut by unfold, with a global first token."""

    def __init__(self, d=8):
        super().__init__()
        self.words, self.qkv, self.head = nn.Embedding(WORDS, d), nn.Linear(d, 3 * d), nn.Linear(d, WORDS)

    def forward(self, x):
        y = self.words(x)
        q, k, v = self.qkv(y).chunk(3, -1)
        k, v = (F.pad(z, (0, 0, 2, 2)).unfold(1, 5, 1) for z in (k, v))
        near = torch.einsum("btd,btdw->btw", q, k) / 8**0.5
        one = torch.einsum("btd,bd->bt", q, y[:, 0])[..., None]
        p = torch.cat([near, one], -1).softmax(-1)
        return self.head(y + torch.einsum("btw,btdw->btd", p[..., :-1], v) + p[..., -1:] * y[:, :1])


class TwoTowers(nn.Module):
    """CLIP: a picture and a text, a learned temperature, the symmetric loss."""

    def __init__(self, d=12):
        super().__init__()
        self.patch, self.words, self.place = nn.Conv2d(3, d, 8, 8), nn.Embedding(WORDS, d), nn.Parameter(torch.rand(9, d))
        self.block = nn.TransformerEncoderLayer(d, 3, 24, dropout=0.0, activation=lambda x: x * torch.sigmoid(1.702 * x), batch_first=True, norm_first=True)
        self.a, self.b, self.temperature = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False), nn.Parameter(torch.tensor(1.0))

    def forward(self, picture, text):
        a = self.a(self.patch(picture).flatten(2).mean(-1))
        y = self.block(self.words(text) + self.place, src_mask=torch.full((9, 9), float("-inf")).triu(1), is_causal=False)
        b = self.b(y[torch.arange(y.shape[0]), text.argmax(-1)])
        a, b = a / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True)
        logits = self.temperature.exp() * a @ b.t()
        place = torch.arange(logits.shape[0])
        return (F.cross_entropy(logits, place) + F.cross_entropy(logits.t(), place)) / 2, logits


class Speech(nn.Module):
    """Whisper's front: a log-mel spectrum, two convolutions, sinusoids; then a Conformer's convolution with GLU."""

    def __init__(self, d=12):
        super().__init__()
        self.a, self.b = nn.Conv1d(6, d, 3, padding=1), nn.Conv1d(d, d, 3, 2, 1)
        self.point, self.deep, self.norm, self.out = nn.Conv1d(d, 2 * d, 1), nn.Conv1d(d, d, 5, padding=2, groups=d), nn.BatchNorm1d(d), nn.Conv1d(d, d, 1)
        self.att, self.ln, self.head = nn.MultiheadAttention(d, 2, batch_first=True), nn.LayerNorm(d), nn.Linear(d, CLASSES)
        self.register_buffer("mel", torch.rand(6, 10))

    def forward(self, power):
        x = torch.log10((self.mel @ power).clamp(min=1e-4))
        x = (torch.maximum(x, x.amax((1, 2), keepdim=True) - 2.0) + 4.0) / 4.0
        x = F.gelu(self.b(F.gelu(self.a(x))))
        t = torch.arange(x.shape[-1], dtype=x.dtype)[:, None] * torch.exp(-torch.arange(6, dtype=x.dtype))
        y = x.transpose(1, 2) + torch.cat([t.sin(), t.cos()], 1)
        n = self.ln(y)
        y = y + self.att(n, n, n, need_weights=False)[0]
        z = self.out(F.silu(self.norm(self.deep(F.glu(self.point(y.transpose(1, 2)), 1)))))
        return self.head(y + z.transpose(1, 2))


NETS = {
    "alibi": lambda: classified(Alibi(), tokens(), 3, 9, n=WORDS),
    "roberta": lambda: classified(Roberta(), (torch.tensor([[3, 5, 7, 2, 9, 4, 1, 1], [2, 6, 8, 10, 1, 1, 1, 1], [4, 2, 3, 5, 6, 7, 8, 9]]),), 3),
    "neox": lambda: classified(Neox(), tokens(), 3, 9, n=WORDS),
    "gemma": lambda: classified(Gemma(), tokens(), 3, 9, n=WORDS),
    "linear_attention": lambda: classified(LinearAttention(), tokens(), 3, 9, n=WORDS),
    "rwkv": lambda: classified(Rwkv(), tokens(t=6), 3, 6, n=WORDS),
    "text_convolution": lambda: classified(TextConvolution(), tokens(), 3),
    "tagger": lambda: with_loss(Tagger(), (*tokens(t=6), ids(3, 6, n=5))),
    "cells": lambda: classified(Cells(), tokens(t=5), 3, 3, n=WORDS),
    "longformer": lambda: classified(Longformer(), tokens(), 3, 9, n=WORDS),
    "two_towers": lambda: with_loss(TwoTowers(), (torch.randn(4, 3, 16, 16), *tokens(4))),
    "speech": lambda: classified(Speech(), (torch.rand(2, 10, 18),), 2, 9),
}

"""Recurrent nets, convolutions over time, scans."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.parametrizations import weight_norm

from .parts import CLASSES, classified, head, ids, tokens


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


class Tagger(nn.Module):
    def __init__(self, cell, layers=1, both=False, d=8, h=10):
        super().__init__()
        self.embed = nn.Embedding(19, d)
        self.cell = cell(d, h, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(h * (2 if both else 1), CLASSES)

    def forward(self, tokens):
        return self.head(self.cell(self.embed(tokens))[0])


class WaveNet(nn.Module):
    def __init__(self, c=8):
        super().__init__()
        self.e = nn.Conv1d(1, c, 1)
        self.f = nn.ModuleList((nn.Conv1d(c, c, 2, dilation=d) for d in (1, 2, 4)))
        self.g = nn.ModuleList((nn.Conv1d(c, c, 2, dilation=d) for d in (1, 2, 4)))
        self.s = nn.ModuleList((nn.Conv1d(c, c, 1) for _ in range(3)))
        self.r = nn.ModuleList((nn.Conv1d(c, c, 1) for _ in range(3)))
        self.o = nn.Conv1d(c, CLASSES, 1)

    def forward(self, x):
        x = self.e(x)
        skip = 0
        for d, f, g, k, r in zip((1, 2, 4), self.f, self.g, self.s, self.r):
            p = F.pad(x, (d, 0))
            y = torch.tanh(f(p)) * torch.sigmoid(g(p))
            skip = skip + k(y)
            x = x + r(y)
        return self.o(F.relu(skip))


class Tcn(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.ModuleList([weight_norm(nn.Conv1d(4, 8, 3, padding=2)), weight_norm(nn.Conv1d(8, 8, 3, padding=4, dilation=2))])
        self.d = nn.Conv1d(4, 8, 1)
        self.o = nn.Linear(8, CLASSES)

    def forward(self, x):
        y = F.relu(self.c[0](x)[:, :, :-2].contiguous())
        y = F.relu(self.c[1](y)[:, :, :-4].contiguous())
        return self.o(F.relu(y + self.d(x))[:, :, -1])


class Mamba(nn.Module):
    def __init__(self, d=8, k=4):
        super().__init__()
        self.i = nn.Linear(d, 2 * d)
        self.c = nn.Conv1d(d, d, 3, groups=d, padding=2)
        self.A = nn.Parameter(torch.rand(d, k))
        self.bc = nn.Linear(d, 2 * k)
        self.dt = nn.Linear(d, d)
        self.D = nn.Parameter(torch.ones(d))
        self.o = nn.Linear(d, CLASSES)

    def forward(self, x):
        u, z = self.i(x).chunk(2, -1)
        t = x.shape[1]
        u = F.silu(self.c(u.transpose(1, 2))[..., :t].transpose(1, 2))
        B, C = self.bc(u).chunk(2, -1)
        dt = F.softplus(self.dt(u))
        la = torch.cumsum(dt.unsqueeze(-1) * -torch.exp(self.A), 1)
        h = torch.exp(la) * torch.cumsum(torch.exp(-la) * (dt * u).unsqueeze(-1) * B.unsqueeze(2), 1)
        y = (h * C.unsqueeze(2)).sum(-1) + u * self.D
        return self.o(y * F.silu(z))


class ScanLoop(nn.Module):
    def __init__(self, d=6):
        super().__init__()
        self.a = nn.Linear(d, d)
        self.b = nn.Linear(d, d, bias=False)
        self.o = nn.Linear(d, CLASSES)

    def forward(self, x):
        h = torch.zeros(x.shape[0], x.shape[2])
        out = []
        for t in range(x.shape[1]):
            h = torch.lerp(h, torch.tanh(self.a(x[:, t]) + self.b(h)), 0.7)
            out.append(h)
        return self.o(torch.stack(out, 1))


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(19, 8, padding_idx=0)
        self.o = nn.Linear(16, CLASSES)

    def forward(self, i):
        m = (i != 0).float().unsqueeze(-1)
        e = self.e(i)
        return self.o(torch.cat([(e * m).sum(1) / m.sum(1).clamp(min=1), (e + (m - 1) * 10000.0).amax(1)], -1))


class EmbBag(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.EmbeddingBag(19, 8, mode="mean")
        self.o = nn.Linear(8, CLASSES)

    def forward(self, i):
        return self.o(self.e(i))


class Seq2Seq(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.e = nn.Embedding(17, d)
        self.enc = nn.GRU(d, d, batch_first=True)
        self.dec = nn.GRU(d, d, batch_first=True)
        self.o = nn.Linear(2 * d, 17)

    def forward(self, a, b):
        m, h = self.enc(self.e(a))
        y, _ = self.dec(self.e(b), h)
        w = torch.softmax(y @ m.transpose(1, 2), -1)
        return self.o(torch.cat([y, w @ m], -1))


class LstmStates(nn.Module):
    def __init__(self, d=6):
        super().__init__()
        self.l = nn.LSTM(5, d, 2, proj_size=0)
        self.c = nn.LSTMCell(d, d)
        self.o = nn.Linear(3 * d, CLASSES)

    def forward(self, x, h0, c0):
        y, (h, c) = self.l(x, (h0, c0))
        h2, c2 = self.c(y[-1], (h[-1], c[-1]))
        return self.o(torch.cat([h2, c2, h[0]], -1))


NETS = {
    "temporal": lambda: classified(Temporal(), (torch.randn(2, 4, 12),), 2, 12),
    "lstm": lambda: classified(Tagger(nn.LSTM, 2, True), tokens(), 3, 9),
    "gru": lambda: classified(Tagger(nn.GRU, 1, True), tokens(), 3, 9),
    "rnn": lambda: classified(Tagger(nn.RNN), tokens(), 3, 9),
    "wavenet": lambda: classified(WaveNet(), (torch.randn(2, 1, 18),), 2, 18),
    "tcn": lambda: classified(Tcn(), (torch.randn(4, 4, 11),), 4),
    "mamba": lambda: classified(Mamba(), (torch.randn(2, 9, 8),), 2, 9),
    "lerp_scan": lambda: classified(ScanLoop(), (torch.randn(3, 5, 6),), 3, 5),
    "seq2seq": lambda: classified(Seq2Seq(), (ids(2, 7, n=17), ids(2, 5, n=17)), 2, 5, n=17),
    "lstm_states": lambda: classified(LstmStates(), (torch.randn(7, 3, 5), torch.randn(2, 3, 6), torch.randn(2, 3, 6)), 3),
    "bag": lambda: classified(Bag(), (ids(4, 7, n=19) * (torch.arange(7) < 5),), 4),
    "embedding_bag": lambda: classified(EmbBag(), tokens(), 3),
}

"""Nets with their loss inside."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from .parts import CLASSES, ids, with_loss


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 6))

    def forward(self, a, p, n):
        a, p, n = (self.f(a), self.f(p), self.f(n))
        cos = F.cosine_similarity(a, p)
        sign = torch.tensor([1.0, -1, 1, -1])
        return F.triplet_margin_loss(a, p, n, margin=1.0) + (1 - cos).mean() + F.cosine_embedding_loss(a, n, sign)


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Linear(12, 16)
        self.mu = nn.Linear(16, 4)
        self.lv = nn.Linear(16, 4)
        self.d = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 12))

    def forward(self, x, eps):
        h = F.relu(self.e(x))
        mu, lv = (self.mu(h), self.lv(h))
        y = self.d(mu + torch.exp(0.5 * lv) * eps)
        rebuilt = F.binary_cross_entropy_with_logits(y, torch.sigmoid(x), reduction="sum") / x.shape[0]
        return (rebuilt - 0.5 * torch.mean(torch.sum(1 + lv - mu.pow(2) - lv.exp(), 1)), y)


class Multi(nn.Module):
    def __init__(self):
        super().__init__()
        self.b = nn.Linear(9, 12)
        self.c = nn.Linear(12, CLASSES)
        self.r = nn.Linear(12, 4)

    def forward(self, x, y, t):
        h = torch.tanh(self.b(x))
        c, r = (self.c(h), self.r(h))
        return (F.cross_entropy(c, y) + 0.5 * F.smooth_l1_loss(r, t) + 0.1 * F.huber_loss(r, t, delta=0.3), c, r)


class NllInside(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 10)
        self.register_buffer("w", torch.rand(10) + 0.5)

    def forward(self, x, y):
        l = F.log_softmax(self.a(x), 1)
        return F.nll_loss(l, y, weight=self.w, ignore_index=3) - 0.1 * l.gather(1, y[:, None]).mean()


class Focal(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x, t):
        l = self.a(x)
        p = torch.sigmoid(l)
        ce = F.binary_cross_entropy_with_logits(l, t, reduction="none")
        pt = p * t + (1 - p) * (1 - t)
        dice = 1 - (2 * (p * t).sum((2, 3)) + 1) / (p.sum((2, 3)) + t.sum((2, 3)) + 1)
        return (ce * (1 - pt) ** 2).mean() + dice.mean()


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        self.i = nn.Linear(9, 8)
        self.t = nn.Embedding(19, 8)
        self.s = nn.Parameter(torch.tensor(1.2))

    def forward(self, x, i):
        a = self.i(x)
        b = self.t(i).mean(1)
        a = a / a.norm(dim=-1, keepdim=True)
        b = b / b.norm(dim=-1, keepdim=True)
        l = self.s.exp() * a @ b.t()
        y = torch.arange(x.shape[0])
        return ((F.cross_entropy(l, y) + F.cross_entropy(l.t(), y)) / 2, l)


NETS = {
    "siamese": lambda: with_loss(Siamese(), (torch.randn(4, 9), torch.randn(4, 9), torch.randn(4, 9))),
    "vae": lambda: with_loss(Vae(), (torch.randn(5, 12), torch.randn(5, 4))),
    "multi": lambda: with_loss(Multi(), (torch.randn(5, 9), ids(5), torch.randn(5, 4))),
    "nll_inside": lambda: with_loss(NllInside(), (torch.randn(6, 6), torch.tensor([1, 3, 9, 0, 3, 5]))),
    "focal": lambda: with_loss(Focal(), (torch.randn(2, 3, 8, 8), (torch.rand(2, 4, 8, 8) > 0.5).float())),
    "clip": lambda: with_loss(Clip(), (torch.randn(4, 9), ids(4, 6, n=19))),
}

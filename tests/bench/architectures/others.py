"""Perceptrons, point clouds, graphs; mathematics outside of layers."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from .parts import CLASSES, classified, head, ids, image, regressed


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


class PointNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.t = nn.Sequential(nn.Conv1d(3, 8, 1), nn.BatchNorm1d(8), nn.ReLU())
        self.tf = nn.Linear(8, 9)
        self.f = nn.Sequential(nn.Conv1d(3, 16, 1), nn.BatchNorm1d(16), nn.ReLU(), nn.Conv1d(16, 24, 1))
        self.h = nn.Sequential(nn.Linear(24, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, CLASSES))

    def forward(self, x):
        t = self.t(x).max(2)[0]
        m = self.tf(t).view(-1, 3, 3) + torch.eye(3)
        x = torch.bmm(x.transpose(1, 2), m).transpose(1, 2)
        return self.h(torch.max(self.f(x), 2, keepdim=False)[0])


class Gathers(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 10)
        self.w = nn.Parameter(torch.randn(10, CLASSES))
        self.h = nn.Parameter(torch.randn(5, 4, CLASSES))

    def forward(self, x, i):
        y = self.a(x)
        z = torch.index_select(y, 1, torch.tensor([3, 1, 1, 7]))
        g = torch.gather(y, 1, i)
        w = self.h[i[:, 0]]
        return torch.cat([z, g, y[:, [0, 2]], y[..., -1:]], 1) @ self.w[:9] + torch.einsum("bk,bkc->bc", z, w)


class Acts(nn.Module):
    def __init__(self):
        super().__init__()
        k = [nn.CELU(0.7), nn.SELU(), nn.Mish(), nn.Softplus(2.0, 5.0), nn.ELU(1.3), nn.Hardswish(), nn.Hardsigmoid(), nn.LogSigmoid()]
        k += [nn.Hardshrink(0.3), nn.ReLU6(), nn.SiLU(), nn.GELU("tanh"), nn.Softmin(-1), nn.Softsign()]
        self.l = nn.ModuleList((nn.Linear(9, 9) for _ in k))
        self.k = nn.ModuleList(k)
        self.h = nn.Linear(9, CLASSES)

    def forward(self, x):
        for l, a in zip(self.l, self.k):
            x = x + a(l(x))
        return self.h(x)


class Reduce(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 8)

    def forward(self, x):
        y = self.a(x)
        z = y.abs() + 0.2
        norms = [y.logsumexp(1), y.norm(dim=1), y.norm(p=1, dim=1), z.prod(1), y.std(1), y.square().sum(1)]
        return torch.stack(norms + [y.amin(1), torch.log10(z).sum(1), z.rsqrt().sum(1), z.pow(1.7).mean(1), torch.sort(y, 1)[0][:, 2], F.softmin(y, 1).max(1)[0]], 1)


class Graphy(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(5, 8)
        self.b = nn.Linear(8, CLASSES)

    def forward(self, x, e):
        h = self.a(x)
        agg = torch.zeros_like(h).index_add(0, e[1], h[e[0]])
        deg = torch.zeros(x.shape[0]).scatter_add(0, e[1], torch.ones(e.shape[1])).clamp(min=1)
        h = F.relu(h + agg / deg[:, None])
        m = torch.zeros_like(h).scatter_reduce(0, e[1][:, None].expand(-1, 8), h[e[0]], "amax", include_self=True)
        return self.b(h + m)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 8)
        self.b = nn.Bilinear(8, 8, CLASSES)

    def forward(self, x):
        y = torch.maximum(self.a(x), torch.tensor(0.1))
        z = torch.minimum(y.sin(), y.clamp(-0.5, 0.5)).remainder(1.0) + torch.fmod(y, 0.7) + y.floor()
        return self.b(y, z + torch.round(y) + y.sign() * y.reciprocal())


NETS = {
    "mlp": lambda: classified(nn.Sequential(nn.Linear(9, 16), nn.ReLU(), nn.Linear(16, CLASSES)), (torch.randn(4, 9),), 4),
    "mixer": lambda: classified(Mixer(), image(), 3),
    "activations": lambda: classified(Activations(), (torch.randn(6, 9),), 6),
    "geometry": lambda: regressed(Geometry(), (torch.randn(4, 6),)),
    "pointnet": lambda: classified(PointNet(), (torch.randn(4, 3, 20),), 4),
    "gathers": lambda: classified(Gathers(), (torch.randn(4, 6), ids(4, 2, n=5)), 4),
    "acts": lambda: classified(Acts(), (torch.randn(5, 9),), 5),
    "reduce": lambda: regressed(Reduce(), (torch.randn(4, 6),)),
    "graph": lambda: classified(Graphy(), (torch.randn(6, 5), ids(2, 11, n=6)), 6),
    "bilinear": lambda: classified(Noisy(), (torch.randn(4, 6),), 4),
}

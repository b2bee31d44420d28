"""Nets for tables, graphs, physics and control."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from .parts import CLASSES, classified, ids, regressed, with_loss


class FactorizationMachine(nn.Module):
    """DeepFM, a cross network (DCN v2) and DLRM's dot products over embedded fields."""

    def __init__(self, fields=(7, 5, 11), d=4):
        super().__init__()
        self.tables, self.wide = nn.ModuleList(nn.Embedding(n, d) for n in fields), nn.ModuleList(nn.Embedding(n, 1) for n in fields)
        self.dense, self.cross = nn.Linear(6, d), nn.Linear(16, 16)
        self.deep, self.last = nn.Sequential(nn.Linear(16, 12), nn.PReLU(), nn.Linear(12, 1)), nn.Linear(16 + 6, 1)
        self.register_buffer("rows", torch.tril_indices(4, 4, -1))

    def forward(self, x, fields):
        e = torch.stack([t(fields[:, i]) for i, t in enumerate(self.tables)] + [self.dense(x)], 1)
        pairs = 0.5 * (e.sum(1).pow(2) - e.pow(2).sum(1)).sum(1, keepdim=True)
        dots = torch.bmm(e, e.transpose(1, 2))[:, self.rows[0], self.rows[1]]
        flat = e.flatten(1)
        cross = flat * self.cross(flat) + flat
        linear = sum(w(fields[:, i]) for i, w in enumerate(self.wide))
        return linear + pairs + self.deep(flat) + self.last(torch.cat([cross, dots], 1))


class Sparsemax(nn.Module):
    """TabNet's attentive step: sparsemax by sorting, ghost batch normalisation, gated linear units."""

    def __init__(self, d=8):
        super().__init__()
        self.norm, self.a, self.b, self.bn = nn.BatchNorm1d(d), nn.Linear(d, d), nn.Linear(d, 2 * d, bias=False), nn.BatchNorm1d(2 * d)
        self.head = nn.Linear(d, CLASSES)

    def sparsemax(self, z):
        ordered = torch.sort(z, dim=-1, descending=True)[0]
        k = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype)
        total = ordered.cumsum(-1) - 1
        size = (k * ordered > total).sum(-1, keepdim=True)
        return F.relu(z - total.gather(-1, size - 1) / size.to(z.dtype))

    def forward(self, x):
        x = self.norm(x)
        return self.head(F.glu(self.bn(self.b(x * self.sparsemax(self.a(x)))), -1) * 0.5**0.5)


class FtTransformer(nn.Module):
    """Numbers and categories become tokens; a class token reads them."""

    def __init__(self, d=8):
        super().__init__()
        self.weight, self.bias, self.cls, self.kinds = (nn.Parameter(torch.randn(*s)) for s in ((5, d), (5, d), (1, 1, d), (12, d)))
        self.block = nn.TransformerEncoderLayer(d, 2, 16, dropout=0.0, batch_first=True, norm_first=True, activation=F.relu)
        self.head = nn.Sequential(nn.LayerNorm(d), nn.ReLU(), nn.Linear(d, CLASSES))
        self.register_buffer("offset", torch.tensor([0, 5, 9]))

    def forward(self, x, c):
        t = torch.cat([self.cls.expand(x.shape[0], -1, -1), x[..., None] * self.weight + self.bias, self.kinds[c + self.offset]], 1)
        return self.head(self.block(t)[:, 0])


class GraphConvolutions(nn.Module):
    """A dense GCN, then SAGE's mean and GAT's softmax over edges by scattering."""

    def __init__(self, d=6):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, d), nn.Linear(2 * d, d), nn.Linear(d, d, bias=False)
        self.s, self.t, self.head = nn.Parameter(torch.randn(d)), nn.Parameter(torch.randn(d)), nn.Linear(d, CLASSES)

    def forward(self, x, adjacency, edges):
        n = x.shape[0]
        a = adjacency + torch.eye(n)
        degree = a.sum(1).rsqrt()
        h = F.relu(degree[:, None] * (a @ (degree[:, None] * self.a(x))))
        source, target = edges[0], edges[1]
        count = torch.zeros(n).index_add(0, target, torch.ones(edges.shape[1])).clamp(min=1)
        mean = torch.zeros_like(h).index_add(0, target, h[source]) / count[:, None]
        h = F.relu(self.b(torch.cat([h, mean], 1)))
        z = self.c(h)
        e = F.leaky_relu(z[source] @ self.s + z[target] @ self.t, 0.2).exp()
        total = torch.zeros(n).scatter_add(0, target, e) + 1e-6
        return self.head(torch.zeros_like(z).scatter_add(0, target[:, None].expand(-1, z.shape[1]), (e / total[target])[:, None] * z[source]))


class EdgeConvolution(nn.Module):
    """DGCNN: the nearest neighbours of each point by distance, features of differences, the largest kept."""

    def __init__(self, k=4):
        super().__init__()
        self.k, self.f, self.head = k, nn.Sequential(nn.Conv2d(6, 8, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)), nn.Linear(16, CLASSES)

    def forward(self, x):
        square = (x * x).sum(1)
        distance = square[:, :, None] + square[:, None] - 2 * x.transpose(1, 2) @ x
        near = distance.topk(self.k, dim=-1, largest=False)[1]
        points = x.transpose(1, 2)
        around = points[torch.arange(x.shape[0])[:, None, None], near]
        middle = points[:, :, None].expand_as(around)
        y = self.f(torch.cat([around - middle, middle], -1).permute(0, 3, 1, 2)).amax(-1)
        return self.head(torch.cat([y.amax(-1), y.mean(-1)], 1))


class Operators(nn.Module):
    """A neural operator on the spectrum, written with cosine matrices, and DeepONet's branch and trunk."""

    def __init__(self, d=6, modes=5, n=16):
        super().__init__()
        self.lift, self.mix, self.point = nn.Linear(2, d), nn.Parameter(torch.randn(modes, d, d) / d), nn.Conv1d(d, d, 1)
        self.branch, self.trunk = nn.Linear(n, 10), nn.Linear(1, 10)
        k, t = torch.arange(modes), torch.arange(n)
        self.register_buffer("basis", torch.cos(torch.pi / n * (t + 0.5) * k[:, None]))

    def forward(self, u):
        grid = torch.linspace(0, 1, u.shape[1]).expand_as(u)
        x = self.lift(torch.stack([u, grid], -1))
        spectrum = torch.einsum("kn,bnd->bkd", self.basis, x)
        y = torch.einsum("bkd,kde,kn->bne", spectrum, self.mix, self.basis) + self.point(x.transpose(1, 2)).transpose(1, 2)
        return F.gelu(y).mean(-1) + torch.tanh(self.branch(u)) @ torch.tanh(self.trunk(grid[0, :, None])).T


class Differential(nn.Module):
    """An ordinary differential equation by Runge-Kutta, four steps, sine layers (SIREN)."""

    def __init__(self, d=8):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(d + 1, 12), nn.Linear(12, d), nn.Linear(d, CLASSES)

    def rate(self, t, x):
        return torch.tanh(self.b(torch.sin(3 * self.a(F.pad(x, (0, 1), value=t)))))

    def forward(self, x):
        h = 0.25
        for i in range(4):
            k1 = self.rate(i * h, x)
            k2 = self.rate(i * h + h / 2, x + h / 2 * k1)
            k3 = self.rate(i * h + h / 2, x + h / 2 * k2)
            k4 = self.rate(i * h + h, x + h * k3)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return self.head(x)


class Coupling(nn.Module):
    """RealNVP: masked affine couplings, the log-density of a Gaussian; a planar flow; a mixture of Gaussians."""

    def __init__(self, d=6, parts=3):
        super().__init__()
        self.s, self.t = nn.ModuleList(nn.Linear(d, d) for _ in range(2)), nn.ModuleList(nn.Linear(d, d) for _ in range(2))
        self.w, self.u, self.c = nn.Parameter(torch.rand(d)), nn.Parameter(torch.rand(d)), nn.Parameter(torch.rand(1))
        self.centres, self.spread, self.shares = nn.Parameter(torch.randn(parts, d)), nn.Parameter(torch.rand(parts, d)), nn.Parameter(torch.rand(parts))
        self.register_buffer("mask", (torch.arange(d) % 2).float())

    def forward(self, x):
        log = 0
        for i in range(2):
            keep = self.mask if i == 0 else 1 - self.mask
            s, t = torch.tanh(self.s[i](x * keep)) * (1 - keep), self.t[i](x * keep) * (1 - keep)
            x, log = x * s.exp() + t, log + s.sum(-1)
        inner = torch.tanh(x @ self.w + self.c)
        log = log + torch.log((1 + (1 - inner**2) * (self.u @ self.w)).abs() + 1e-6)
        x = x + self.u * inner[:, None]
        spread = F.softplus(self.spread) + 0.1
        each = -0.5 * (((x[:, None] - self.centres) / spread) ** 2).sum(-1) - spread.log().sum(-1) + self.shares.log_softmax(0)
        return -(torch.logsumexp(each, 1) + log).mean(), x


class Policies(nn.Module):
    """PPO's clipped objective with entropy and value loss; a squashed Gaussian's log-density; a dueling head with double-Q targets."""

    detaches = True

    def __init__(self, d=8, actions=4):
        super().__init__()
        self.f, self.pi, self.v, self.q = nn.Linear(5, d), nn.Linear(d, actions), nn.Linear(d, 1), nn.Linear(d, actions)
        self.mu, self.std = nn.Linear(d, 2), nn.Linear(d, 2)

    def forward(self, x, action, old, gain, noise):
        h = torch.tanh(self.f(x))
        log = F.log_softmax(self.pi(h), -1)
        ratio = (log.gather(1, action[:, None]).squeeze(1) - old).exp()
        policy = -torch.min(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean() + 0.01 * (log * log.exp()).sum(-1).mean()
        value = self.v(h)
        q = value + self.q(h) - self.q(h).mean(1, keepdim=True)
        target = gain + 0.9 * q.detach().gather(1, q.argmax(1, keepdim=True)).squeeze(1)
        std = self.std(h).clamp(-3, 1).exp()
        raw = self.mu(h) + std * noise
        squashed = (-0.5 * noise**2 - std.log() - 2 * (0.6931472 - raw - F.softplus(-2 * raw))).sum(-1)
        return policy + F.smooth_l1_loss(q.gather(1, action[:, None]).squeeze(1), target) + 0.1 * squashed.mean() + F.mse_loss(value.squeeze(1), gain), q


class Capsules(nn.Module):
    """Dynamic routing between capsules, squashed, with the margin loss."""

    detaches = True

    def __init__(self, d=4, n=6):
        super().__init__()
        self.a, self.w = nn.Linear(9, n * d), nn.Parameter(torch.randn(CLASSES, n, d, 5) * 0.3)

    def squash(self, s):
        square = s.pow(2).sum(-1, keepdim=True)
        return square / (1 + square) * s / (square + 1e-8).sqrt()

    def forward(self, x, y):
        u = self.squash(self.a(x).unflatten(1, (6, 4)))
        votes = torch.einsum("bnd,cnde->bcne", u, self.w)
        b = torch.zeros(votes.shape[:3])
        for i in range(3):
            v = self.squash((b.softmax(1)[..., None] * votes).sum(2))
            b = b + (votes * v[:, :, None].detach()).sum(-1)
        length = v.norm(dim=-1)
        hot = F.one_hot(y, CLASSES).to(x.dtype)
        return (hot * F.relu(0.9 - length) ** 2 + 0.5 * (1 - hot) * F.relu(length - 0.1) ** 2).sum(1).mean(), length


class Splines(nn.Module):
    """A Kolmogorov-Arnold layer: B-splines by their recursion, beside SiLU; then radial and Chebyshev features."""

    def __init__(self, d=5, degree=3):
        super().__init__()
        self.degree, self.silu, self.weight = degree, nn.Linear(d, 6), nn.Parameter(torch.randn(6, d, 8) * 0.3)
        self.centres, self.head = nn.Parameter(torch.randn(6, 6)), nn.Linear(18, CLASSES)
        self.register_buffer("knots", torch.linspace(-2.2, 2.2, 12))

    def forward(self, x):
        g, z = self.knots, torch.tanh(x)[..., None]
        b = ((z >= g[:-1]) & (z < g[1:])).to(x.dtype)
        for k in range(1, self.degree + 1):
            b = (z - g[: -k - 1]) / (g[k:-1] - g[: -k - 1]) * b[..., :-1] + (g[k + 1:] - z) / (g[k + 1:] - g[1:-k]) * b[..., 1:]
        y = self.silu(F.silu(x)) + torch.einsum("bdk,odk->bo", b, self.weight)
        t = torch.tanh(y)
        return self.head(torch.cat([torch.exp(-torch.cdist(y, self.centres) ** 2), 2 * t * t - 1, 4 * t**3 - 3 * t], 1))


class Criteria(nn.Module):
    """Many losses of torch.nn in one sum."""

    def __init__(self):
        super().__init__()
        self.f, self.g = nn.Linear(6, 5), nn.Linear(6, 5)

    def forward(self, x, y, hot, sign):
        a, b = self.f(x), self.g(x)
        p = torch.sigmoid(a)
        dice = 1 - (2 * (p * hot).sum() + 1) / (p.sum() + hot.sum() + 1)
        ncs = F.normalize(torch.cat([a, b]), dim=1)
        similar = (ncs @ ncs.t() / 0.5).masked_fill(torch.eye(2 * x.shape[0], dtype=torch.bool), -1e9)
        partner = torch.arange(2 * x.shape[0]).roll(x.shape[0])
        return (F.binary_cross_entropy_with_logits(a, hot, pos_weight=torch.arange(1.0, 6)) + F.binary_cross_entropy(p, hot) + dice
                + F.kl_div(F.log_softmax(a, 1), F.softmax(b, 1), reduction="batchmean") + F.cross_entropy(similar, partner)
                + F.cross_entropy(a, y, label_smoothing=0.1) + F.cross_entropy(b, hot.softmax(1)) + F.poisson_nll_loss(a, hot)
                + F.gaussian_nll_loss(a, hot, F.softplus(b) + 0.1) + F.margin_ranking_loss(a[:, 0], b[:, 0], sign, margin=0.3)
                + F.hinge_embedding_loss(a[:, 1], sign) + F.soft_margin_loss(a[:, 2], sign) + F.multi_margin_loss(a, y)
                + F.multilabel_soft_margin_loss(b, hot) + F.huber_loss(a, b, delta=0.5) + F.l1_loss(a, b)
                + F.pairwise_distance(a, b).mean() + torch.log(torch.cosh(a - b)).mean()), a


NETS = {
    "factorization": lambda: regressed(FactorizationMachine(), (torch.randn(6, 6), torch.stack([ids(6, n=n) for n in (7, 5, 11)], 1))),
    "sparsemax": lambda: classified(Sparsemax(), (torch.randn(9, 8),), 9),
    "ft_transformer": lambda: classified(FtTransformer(), (torch.randn(4, 5), torch.stack([ids(4, n=n) for n in (5, 4, 3)], 1)), 4),
    "graph_convolutions": lambda: classified(GraphConvolutions(), (torch.randn(6, 5), (torch.rand(6, 6) < 0.4).float(), ids(2, 14, n=6)), 6),
    "edge_convolution": lambda: classified(EdgeConvolution(), (torch.randn(3, 3, 12),), 3),
    "operators": lambda: regressed(Operators(), (torch.randn(3, 16),)),
    "differential": lambda: classified(Differential(), (torch.randn(4, 8),), 4),
    "coupling": lambda: with_loss(Coupling(), (torch.randn(7, 6),)),
    "policies": lambda: with_loss(Policies(), (torch.randn(6, 5), ids(6, n=4), -torch.rand(6) - 1, torch.randn(6), torch.randn(6, 2))),
    "capsules": lambda: with_loss(Capsules(), (torch.randn(4, 9), ids(4))),
    "splines": lambda: classified(Splines(), (torch.randn(6, 5),), 6),
    "criteria": lambda: with_loss(Criteria(), (torch.randn(5, 6), ids(5, n=5), (torch.rand(5, 5) < 0.5).float(), torch.tensor([1.0, -1, 1, -1, 1]))),
}

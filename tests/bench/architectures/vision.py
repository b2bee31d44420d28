"""Vision beyond classification: dense prediction, detection, generation, fields."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from .parts import CLASSES, classified, conv_bn, head, image, regressed, with_loss


class DeepLab(nn.Module):
    """Dilated convolutions beside image pooling, upsampled to the size of the input."""

    def __init__(self, d=8):
        super().__init__()
        self.stem = conv_bn(3, d, 3, 2)
        self.rates = nn.ModuleList(nn.Conv2d(d, d, 3, padding=r, dilation=r) for r in (1, 2, 3))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(d, d, 1), nn.ReLU())
        self.mix, self.out = nn.Conv2d(4 * d, d, 1, bias=False), nn.Conv2d(d, CLASSES, 1)
        self.norm = nn.BatchNorm2d(d)

    def forward(self, x):
        y = self.stem(x)
        pooled = F.interpolate(self.pool(y), size=y.shape[-2:], mode="bilinear", align_corners=False)
        y = F.relu(self.norm(self.mix(torch.cat([r(y) for r in self.rates] + [pooled], 1))))
        return F.interpolate(self.out(y), size=x.shape[-2:], mode="bilinear", align_corners=False)


class Pyramid(nn.Module):
    """Top-down pathway with lateral convolutions; one head over all levels."""

    def __init__(self, d=8):
        super().__init__()
        self.down = nn.ModuleList([conv_bn(3, d), conv_bn(d, d, 3, 2), conv_bn(d, d, 3, 2)])
        self.lateral = nn.ModuleList(nn.Conv2d(d, d, 1) for _ in range(3))
        self.smooth = nn.ModuleList(nn.Conv2d(d, d, 3, padding=1) for _ in range(3))
        self.head = nn.Conv2d(d, 5, 1)

    def forward(self, x):
        levels = []
        for down in self.down:
            x = down(x)
            levels.append(x)
        out = [self.lateral[2](levels[2])]
        for i in (1, 0):
            out.append(self.lateral[i](levels[i]) + F.interpolate(out[-1], scale_factor=2, mode="nearest"))
        return torch.cat([self.head(s(y)).flatten(2) for s, y in zip(self.smooth, reversed(out))], 2).transpose(1, 2)


class Yolo(nn.Module):
    """Boxes from a grid and anchors, with the loss of boxes, objects and classes."""

    def __init__(self, d=8, anchors=((1.0, 2.0), (2.0, 1.0))):
        super().__init__()
        self.body = nn.Sequential(conv_bn(3, d, 3, 2, act=nn.SiLU), conv_bn(d, d, 3, 2, act=nn.SiLU))
        self.head = nn.Conv2d(d, len(anchors) * (5 + CLASSES), 1)
        self.register_buffer("anchors", torch.tensor(anchors))

    def forward(self, x, boxes, objects, classes):
        y = self.head(self.body(x))
        n, _, h, w = y.shape
        y = y.view(n, 2, 5 + CLASSES, h, w).permute(0, 1, 3, 4, 2)
        gy, gx = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        xy = y[..., :2].sigmoid() * 2 - 0.5 + torch.stack([gx, gy], -1).to(y.dtype)
        wh = (y[..., 2:4].sigmoid() * 2) ** 2 * self.anchors[None, :, None, None]
        low, high = torch.maximum(xy - wh / 2, boxes[..., :2] - boxes[..., 2:] / 2), torch.minimum(xy + wh / 2, boxes[..., :2] + boxes[..., 2:] / 2)
        inside = (high - low).clamp(min=0).prod(-1)
        iou = inside / (wh.prod(-1) + boxes[..., 2:].prod(-1) - inside + 1e-7)
        return (((1 - iou) * objects).sum() / objects.sum() + F.binary_cross_entropy_with_logits(y[..., 4], objects)
                + F.cross_entropy(y[..., 5:].flatten(0, 3), classes.flatten(), ignore_index=-100)), xy


class Detr(nn.Module):
    """Queries attend to the image through nn.TransformerDecoder."""

    def __init__(self, d=16, queries=5):
        super().__init__()
        self.body = nn.Sequential(conv_bn(3, d, 3, 2), conv_bn(d, d, 3, 2))
        self.row, self.column = nn.Parameter(torch.rand(4, d // 2)), nn.Parameter(torch.rand(4, d // 2))
        self.encoder = nn.TransformerEncoderLayer(d, 2, 24, dropout=0.0, batch_first=True)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(d, 2, 24, dropout=0.0, batch_first=True, norm_first=True), 1)
        self.queries, self.box, self.kind = nn.Parameter(torch.rand(queries, d)), nn.Linear(d, 4), nn.Linear(d, CLASSES)

    def forward(self, x):
        y = self.body(x)
        place = torch.cat([self.column.unsqueeze(0).repeat(4, 1, 1), self.row.unsqueeze(1).repeat(1, 4, 1)], -1).flatten(0, 1)
        memory = self.encoder(y.flatten(2).permute(0, 2, 1) + place)
        z = self.decoder(self.queries.unsqueeze(0).expand(x.shape[0], -1, -1), memory)
        return torch.cat([self.box(z).sigmoid(), self.kind(z)], -1)


class Generator(nn.Module):
    """DCGAN's generator."""

    def __init__(self, d=8):
        super().__init__()
        self.net = nn.Sequential(nn.ConvTranspose2d(6, d, 4, 1, 0, bias=False), nn.BatchNorm2d(d), nn.ReLU(True),
                                 nn.ConvTranspose2d(d, d, 4, 2, 1, bias=False), nn.BatchNorm2d(d), nn.ReLU(True),
                                 nn.ConvTranspose2d(d, 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.net(z[:, :, None, None])


class Modulated(nn.Module):
    """StyleGAN's convolution: weights made per sample, run as groups."""

    def __init__(self, d=6):
        super().__init__()
        self.style, self.weight, self.noise = nn.Linear(5, d), nn.Parameter(torch.randn(d, d, 3, 3)), nn.Parameter(torch.rand(1))
        self.out = nn.Conv2d(d, 3, 1)

    def forward(self, x, z, noise):
        n, c, h, w = x.shape
        weight = self.weight[None] * (self.style(z)[:, None, :, None, None] + 1)
        weight = weight * torch.rsqrt(weight.pow(2).sum((2, 3, 4), keepdim=True) + 1e-8)
        y = F.conv2d(x.reshape(1, n * c, h, w), weight.reshape(n * c, c, 3, 3), padding=1, groups=n).view(n, c, h, w)
        return self.out(F.leaky_relu(y + self.noise * noise, 0.2) * 2**0.5)


class StyleTransfer(nn.Module):
    """Adaptive instance normalisation and the loss of Gram matrices."""

    def __init__(self, d=6):
        super().__init__()
        self.encode, self.decode = nn.Conv2d(3, d, 3, padding=1, padding_mode="reflect"), nn.Conv2d(d, 3, 3, padding=1, padding_mode="replicate")

    def forward(self, content, style):
        a, b = self.encode(content), self.encode(style)
        dims = dict(dim=(2, 3), keepdim=True)
        y = (a - a.mean(**dims)) / (a.std(**dims) + 1e-5) * b.std(**dims) + b.mean(**dims)
        rebuilt = self.encode(self.decode(F.elu(y)))
        gram = lambda f: torch.bmm(f.flatten(2), f.flatten(2).transpose(1, 2)) / f[0].numel()
        return F.mse_loss(rebuilt, y) + 10 * F.mse_loss(gram(rebuilt), gram(b)) + (rebuilt[..., 1:] - rebuilt[..., :-1]).abs().mean(), rebuilt


class VectorQuantised(nn.Module):
    """The nearest code, straight-through, with both commitment losses."""

    detaches = True

    def __init__(self, d=4, codes=9):
        super().__init__()
        self.encode, self.decode, self.codes = nn.Conv2d(3, d, 4, 4), nn.ConvTranspose2d(d, 3, 4, 4), nn.Embedding(codes, d)

    def forward(self, x):
        z = self.encode(x).permute(0, 2, 3, 1)
        flat = z.reshape(-1, z.shape[-1])
        near = (flat.pow(2).sum(1, keepdim=True) - 2 * flat @ self.codes.weight.t() + self.codes.weight.pow(2).sum(1)).argmin(1)
        q = self.codes(near).view_as(z)
        loss = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(q.detach(), z)
        return loss + F.mse_loss(self.decode((z + (q - z).detach()).permute(0, 3, 1, 2)), x), near


class Keypoints(nn.Module):
    """Soft argmax over heat maps."""

    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(conv_bn(3, 8), nn.Conv2d(8, 5, 1))

    def forward(self, x):
        heat = self.f(x)
        p = F.softmax(heat.flatten(2) * 4, -1).view_as(heat)
        line = torch.linspace(-1, 1, heat.shape[-1])
        return torch.stack([(p.sum(2) * line).sum(-1), (p.sum(3) * line).sum(-1)], -1)


class Flow(nn.Module):
    """An image warped by a predicted flow, compared photometrically."""

    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(8, 2, 3, padding=1))

    def forward(self, a, b):
        flow = 0.1 * torch.tanh(self.f(torch.cat([a, b], 1)))
        theta = torch.eye(2, 3).unsqueeze(0).expand(a.shape[0], -1, -1)
        grid = F.affine_grid(theta, a.shape, align_corners=False) + flow.permute(0, 2, 3, 1)
        difference = F.grid_sample(b, grid, mode="bilinear", padding_mode="border", align_corners=False) - a
        smooth = flow.diff(dim=2).pow(2).mean() + flow.diff(dim=3).pow(2).mean()
        return (difference.pow(2) + 1e-4).pow(0.45).mean() + smooth, flow


class Field(nn.Module):
    """A radiance field: Fourier features, densities composed along rays."""

    def __init__(self, d=24, octaves=4):
        super().__init__()
        self.octaves = octaves
        self.a, self.b, self.c = nn.Linear(6 * octaves, d), nn.Linear(d + 6 * octaves, d), nn.Linear(d, 4)

    def forward(self, x):
        f = torch.cat([g(x * 2.0**i) for i in range(self.octaves) for g in (torch.sin, torch.cos)], -1)
        y = self.c(F.relu(self.b(torch.cat([F.relu(self.a(f)), f], -1))))
        alpha = 1 - torch.exp(-F.softplus(y[..., 3]) * 0.3)
        through = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha[:, :-1] + 1e-10], 1), 1)
        return ((alpha * through)[..., None] * y[..., :3].sigmoid()).sum(1)


class Attentive(nn.Module):
    """Channel and spatial attention (CBAM), a non-local block, coordinates as channels, a ghost block."""

    def __init__(self, d=8):
        super().__init__()
        self.stem, self.ghost = conv_bn(5, d, 3, 2), nn.Conv2d(d, d, 3, padding=1, groups=d)
        self.channel, self.place = nn.Sequential(nn.Linear(2 * d, 4), nn.ReLU(), nn.Linear(4, 2 * d)), nn.Conv2d(2, 1, 7, padding=3)
        self.q, self.k, self.v = (nn.Conv2d(2 * d, 6, 1) for _ in range(3))
        self.o, self.head = nn.Conv2d(6, 2 * d, 1), head(2 * d)

    def forward(self, x):
        line = torch.linspace(-1, 1, x.shape[-1])
        where = torch.stack(torch.meshgrid(line, line, indexing="ij")).expand(x.shape[0], -1, -1, -1)
        x = self.stem(torch.cat([x, where], 1))
        x = torch.cat([x, self.ghost(x)], 1)
        x = x * (self.channel(x.mean((2, 3))) + self.channel(x.amax((2, 3)))).sigmoid()[:, :, None, None]
        x = x * self.place(torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)).sigmoid()
        q, k, v = (f(x).flatten(2) for f in (self.q, self.k, self.v))
        return self.head(x + self.o((v @ (q.transpose(1, 2) @ k).softmax(-1).transpose(1, 2)).view(x.shape[0], 6, *x.shape[2:])))


class ResNeXt(nn.Module):
    """Grouped bottlenecks with a max-pooled stem, stochastic depth off, blurred downsampling."""

    def __init__(self, d=8):
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, d, 7, 2), nn.MaxPool2d(3, 2, 1))
        self.block = nn.Sequential(conv_bn(d, d, 1), conv_bn(d, d, 3, g=4), nn.Conv2d(d, d, 1, bias=False), nn.BatchNorm2d(d))
        self.register_buffer("blur", torch.tensor([1.0, 2, 1])[:, None] * torch.tensor([1.0, 2, 1]) / 16)
        self.head = head(d)

    def forward(self, x):
        x = self.stem(x)
        x = F.relu(x + self.block(x), inplace=True)
        return self.head(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.blur.repeat(x.shape[1], 1, 1, 1), stride=2, groups=x.shape[1]))


class Diffusion(nn.Module):
    """A denoiser: sinusoidal times, FiLM, attention in the middle, the loss of the noise."""

    def __init__(self, d=8):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(d, 16), nn.SiLU(), nn.Linear(16, 4 * d))
        self.down, self.mid, self.up = nn.Conv2d(3, d, 3, 2, 1), nn.Conv2d(d, 2 * d, 3, 2, 1), nn.ConvTranspose2d(2 * d, d, 4, 2, 1)
        self.out, self.n1, self.n2 = nn.ConvTranspose2d(2 * d, 3, 4, 2, 1), nn.GroupNorm(4, d), nn.GroupNorm(4, 2 * d)
        self.qkv = nn.Conv1d(2 * d, 6 * d, 1)
        self.register_buffer("kept", torch.cumprod(1 - torch.linspace(1e-4, 0.2, 20), 0))
        self.register_buffer("frequencies", torch.exp(torch.arange(d // 2) * -1.0))

    def forward(self, x, t, noise):
        kept = self.kept[t][:, None, None, None]
        angle = t[:, None].to(x.dtype) * self.frequencies
        scale, shift = self.time(torch.cat([angle.sin(), angle.cos()], 1))[..., None, None].chunk(2, 1)
        y = self.down(kept.sqrt() * x + (1 - kept).sqrt() * noise)
        z = self.n2(self.mid(F.silu(self.n1(y)))) * (1 + scale) + shift
        q, k, v = self.qkv(z.flatten(2)).transpose(1, 2).chunk(3, -1)
        z = z + F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(z.shape)
        return F.mse_loss(self.out(torch.cat([self.up(F.silu(z)), y], 1)), noise), z


def yolo():
    where = torch.cat([torch.rand(2, 2, 4, 4, 2) * 4, torch.rand(2, 2, 4, 4, 2) + 1], -1)
    kinds = torch.where(torch.rand(2, 2, 4, 4) < 0.5, torch.randint(0, CLASSES, (2, 2, 4, 4)), torch.tensor(-100))
    return with_loss(Yolo(), (*image(2), where, (torch.rand(2, 2, 4, 4) < 0.5).float(), kinds))


NETS = {
    "deeplab": lambda: classified(DeepLab(), image(), 3, 16, 16),
    "pyramid": lambda: regressed(Pyramid(), image(2)),
    "yolo": yolo,
    "detr": lambda: regressed(Detr(), image(2)),
    "dcgan": lambda: regressed(Generator(), (torch.randn(4, 6),)),
    "modulated": lambda: regressed(Modulated(), (torch.randn(2, 6, 8, 8), torch.randn(2, 5), torch.randn(2, 1, 8, 8))),
    "style_transfer": lambda: with_loss(StyleTransfer(), (*image(2, s=10), *image(2, s=10))),
    "vector_quantised": lambda: with_loss(VectorQuantised(), image(2)),
    "keypoints": lambda: regressed(Keypoints(), image(2, s=12)),
    "flow": lambda: with_loss(Flow(), (*image(2, s=12), *image(2, s=12))),
    "field": lambda: regressed(Field(), (torch.rand(5, 8, 3),)),
    "attentive": lambda: classified(Attentive(), image(), 3),
    "resnext": lambda: classified(ResNeXt(), image(4, s=24), 4),
    "diffusion": lambda: with_loss(Diffusion(), (*image(2), torch.tensor([3, 11]), torch.randn(2, 3, 16, 16))),
}

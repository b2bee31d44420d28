"""Nets of convolutions over pictures and volumes: classifiers, segmentation, detection, transformers of space."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.parametrizations import weight_norm

from .parts import CLASSES, classified, conv_bn, head, image, regressed


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


class Shuffle(nn.Module):
    def __init__(self, c=12, g=3):
        super().__init__()
        self.g = g
        self.a = nn.Conv2d(c // 2, c // 2, 1, groups=g, bias=False)
        self.n = nn.BatchNorm2d(c // 2)
        self.d = nn.Conv2d(c // 2, c // 2, 3, 1, 1, groups=c // 2, bias=False)
        self.m = nn.BatchNorm2d(c // 2)

    def forward(self, x):
        a, b = x.chunk(2, 1)
        b = self.m(self.d(F.relu(self.n(self.a(b)))))
        x = torch.cat([a, b], 1)
        n, c, h, w = x.shape
        return x.view(n, self.g, c // self.g, h, w).transpose(1, 2).reshape(n, c, h, w)


class Inception(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a = conv_bn(c, 4, 1)
        self.b = nn.Sequential(conv_bn(c, 4, 1), nn.Conv2d(4, 6, (1, 3), padding=(0, 1)), nn.Conv2d(6, 6, (3, 1), padding=(1, 0)))
        self.c = nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), conv_bn(c, 4, 1))
        self.d = nn.MaxPool2d(3, 1, 1)

    def forward(self, x):
        return torch.cat([self.a(x), self.b(x), self.c(x), self.d(x)], 1)


class MBConv(nn.Module):
    def __init__(self, c, e=3):
        super().__init__()
        self.up = conv_bn(c, c * e, 1, act=nn.SiLU)
        self.dw = conv_bn(c * e, c * e, 3, g=c * e, act=nn.SiLU)
        self.r = nn.Conv2d(c * e, 4, 1)
        self.x = nn.Conv2d(4, c * e, 1)
        self.down = nn.Sequential(nn.Conv2d(c * e, c, 1, bias=False), nn.BatchNorm2d(c, eps=0.001))
        self.drop = nn.Dropout(0.0)

    def forward(self, x):
        y = self.dw(self.up(x))
        y = y * torch.sigmoid(self.x(F.silu(self.r(y.mean((2, 3), keepdim=True)))))
        return x + self.drop(self.down(y))


class RegBlock(nn.Module):
    def __init__(self, i, o, st, g):
        super().__init__()
        self.p = nn.Conv2d(i, o, 1, st, bias=False)
        self.pn = nn.BatchNorm2d(o)
        self.b = nn.Sequential(conv_bn(i, o, 1), conv_bn(o, o, 3, st, g=o // g), nn.Conv2d(o, o, 1, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        return F.relu(self.pn(self.p(x)) + self.b(x))


class Video(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv3d(3, 6, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.b = nn.Conv3d(6, 8, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.n = nn.BatchNorm3d(8)
        self.p = nn.MaxPool3d((1, 2, 2))
        self.t = nn.ConvTranspose3d(8, 6, 2, 2)
        self.q = nn.AvgPool3d(2)
        self.o = nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.o(self.q(self.t(self.p(F.relu(self.n(self.b(self.a(x))))))).mean((2, 3, 4)))


class Stn(nn.Module):
    def __init__(self, mode="bilinear", pad="zeros", ac=False):
        super().__init__()
        self.k = (mode, pad, ac)
        self.l = nn.Sequential(nn.Conv2d(1, 4, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 6))
        self.c = nn.Conv2d(1, 4, 3)
        self.h = head(4)

    def forward(self, x):
        th = 0.1 * self.l(x).view(-1, 2, 3) + torch.tensor([[[1.0, 0, 0.1], [0, 1.0, -0.07]]])
        m, p, a = self.k
        return self.h(F.relu(self.c(F.grid_sample(x, F.affine_grid(th, x.size(), align_corners=a), mode=m, padding_mode=p, align_corners=a))))


class WeightNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = weight_norm(nn.Conv2d(3, 6, 3))
        self.b = weight_norm(nn.Linear(6, CLASSES), dim=None)

    def forward(self, x):
        return self.b(F.elu(self.a(x)).mean((2, 3)))


class Unfold(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Linear(27, 27)
        self.c = nn.Conv2d(3, 4, 3)
        self.h = head(4)

    def forward(self, x):
        u = F.unfold(x, 3, padding=1, stride=2)
        y = F.fold(torch.tanh(self.w(u.transpose(1, 2))).transpose(1, 2), x.shape[2:], 3, padding=1, stride=2)
        return self.h(F.relu(self.c(y + x)))


class Pixels(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(12, 8, 1)
        self.b = nn.Conv2d(8, 12, 3)
        self.h = head(3)

    def forward(self, x):
        return self.h(F.pixel_shuffle(self.b(F.pad(F.relu(self.a(F.pixel_unshuffle(x, 2))), (1, 1, 1, 1), mode="reflect")), 2))


class Pads(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate")
        self.b = nn.Conv2d(4, 6, 3, padding=2, padding_mode="circular")
        self.r = nn.ReflectionPad2d((1, 2, 0, 1))
        self.c = nn.ConstantPad2d(1, 0.5)
        self.h = head(6)

    def forward(self, x):
        return self.h(F.pad(self.c(self.r(self.b(F.relu(self.a(x))))), (-1, -1, 0, 0)).tanh())


class Pools(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 6, 3, padding=1)
        self.o = nn.Linear(6 * (4 + 16 + 1 + 9), CLASSES)

    def forward(self, x):
        y = self.c(x)
        pools = [F.adaptive_avg_pool2d(y, 2), F.adaptive_max_pool2d(y, 4), F.lp_pool2d(y.abs() + 0.1, 2, 16), F.avg_pool2d(y, 5, 4, ceil_mode=True)[:, :, :3, :3]]
        return self.o(torch.cat([p.flatten(1) for p in pools], 1))


class CeilPools(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 5, 3, padding=1)
        self.h = head(5)

    def forward(self, x):
        return self.h(F.max_pool2d(F.avg_pool2d(self.c(x), 3, 2, 1, ceil_mode=True, count_include_pad=True), 3, 2, ceil_mode=True))


class Transposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2)
        self.b = nn.ConvTranspose2d(6, 6, (3, 2), (1, 2), dilation=(2, 1), groups=6, bias=False)
        self.c = nn.Conv1d(6, 6, 5, groups=3, stride=2)
        self.o = nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.o(self.c(self.b(F.relu(self.a(x))).flatten(2)).mean(2))


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Conv1d(4, 6, 3)
        self.a = nn.BatchNorm1d(6)
        self.i = nn.InstanceNorm1d(6, affine=True)
        self.c = nn.Conv1d(6, 6, 3)
        self.g = nn.GroupNorm(3, 6)
        self.p = nn.PReLU(6)
        self.q = nn.PReLU()
        self.o = nn.Linear(6, 12)
        self.b = nn.BatchNorm1d(12, affine=False)
        self.h = nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.h(F.glu(self.b(self.o(self.q(self.g(self.c(self.p(self.i(self.a(self.l(x))))))).mean(2))), -1))


class Deform(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.h = head(8)

    def forward(self, x):
        y = F.local_response_norm(F.relu(self.a(x)), 3)
        y = torch.flip(y, [3])
        y = torch.roll(y, 2, 2)
        return self.h(F.normalize(y, dim=1) + y.std(dim=(2, 3), keepdim=True) + y.var(1, keepdim=True, unbiased=False))


class Resizes(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.h = nn.Conv2d(4, CLASSES, 1)

    def forward(self, x):
        y = self.a(x)
        y = F.interpolate(y, size=(11, 9), mode="bicubic", align_corners=False)
        y = F.interpolate(y, scale_factor=1.5, mode="bilinear", align_corners=False)
        y = F.interpolate(y, size=(8, 8), mode="area")
        return self.h(F.interpolate(y, size=16))


class Hypernet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 3 * 5 * 9)
        self.o = nn.Linear(5, CLASSES)

    def forward(self, x, z):
        w = self.a(z).view(5, 3, 3, 3)
        return self.o(F.conv2d(x, w, padding=1).amax((2, 3)))


NETS = {
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
    "shufflenet": lambda: classified(nn.Sequential(conv_bn(3, 12, s=2), Shuffle(), Shuffle(), head(12)), image(), 3),
    "inception": lambda: classified(nn.Sequential(conv_bn(3, 8, s=2), Inception(8), head(22)), image(), 3),
    "efficientnet": lambda: classified(nn.Sequential(conv_bn(3, 8, s=2, act=nn.SiLU), MBConv(8), head(8)), image(), 3),
    "regnet": lambda: classified(nn.Sequential(conv_bn(3, 8, s=2), RegBlock(8, 12, 2, 4), head(12)), image(), 3),
    "video": lambda: classified(Video(), (torch.randn(2, 3, 4, 8, 8),), 2),
    "weight_norm": lambda: classified(WeightNorm(), image(), 3),
    "unfold": lambda: classified(Unfold(), image(), 3),
    "pixels": lambda: classified(Pixels(), image(), 3),
    "pads": lambda: classified(Pads(), image(), 3),
    "pools": lambda: classified(Pools(), image(), 3),
    "ceil_pools": lambda: classified(CeilPools(), image(), 3),
    "transposed": lambda: classified(Transposed(), (torch.randn(2, 4, 5, 5),), 2),
    "norms": lambda: classified(Norms(), (torch.randn(4, 4, 12),), 4),
    "deform": lambda: classified(Deform(), image(), 3),
    "resizes": lambda: classified(Resizes(), image(2), 2, 16, 16),
    "hypernet": lambda: classified(Hypernet(), (torch.randn(2, 3, 8, 8), torch.randn(4)), 2),
    "stn": lambda: classified(Stn(), (torch.randn(3, 1, 16, 16),), 3),
    "stn_border": lambda: classified(Stn("bilinear", "border", True), (torch.randn(3, 1, 16, 16),), 3),
    "stn_cubic": lambda: classified(Stn("bicubic", "reflection"), (torch.randn(3, 1, 16, 16),), 3),
}

"""The networks of mezzo-models as PyTorch modules, for compare_large.py: same layers, same shapes, same Dropout."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        out = 4 * width if bottleneck else width
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        sizes = [inputs] + [width] * (len(kernels) - 1) + [out]
        strides = (1, stride, 1) if bottleneck else (stride, 1)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, k, s, k // 2, bias=False)
                                   for a, b, k, s in zip(sizes, sizes[1:], kernels, strides))
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in sizes[1:])
        self.skip = None
        if stride != 1 or inputs != out:
            self.skip = nn.Sequential(nn.Conv2d(inputs, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            y = norm(conv(F.relu(y) if i else y))
        return F.relu(y + (self.skip(x) if self.skip else x))


class ResNet(nn.Module):
    def __init__(self, blocks, bottleneck, image, classes):
        super().__init__()
        small = image <= 64
        self.stem = nn.Conv2d(3, 64, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False)
        self.norm, self.pool = nn.BatchNorm2d(64), not small
        channels, layers = 64, []
        for stage, count in enumerate(blocks):
            for k in range(count):
                layers.append(Block(channels, 64 << stage, 2 if k == 0 and stage else 1, bottleneck))
                channels = (64 << stage) * (4 if bottleneck else 1)
        self.layers, self.fc = nn.Sequential(*layers), nn.Linear(channels, classes)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        if self.pool:
            x = F.max_pool2d(x, 3, 2, 1)
        return self.fc(self.layers(x).mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, hidden, heads, dropout, causal):
        super().__init__()
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.heads, self.dropout, self.causal = heads, dropout, causal

    def forward(self, x, mask):
        b, t, h = x.shape
        q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in self.qkv(x).split(h, 2))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.dropout, is_causal=self.causal)
        return F.dropout(self.out(y.transpose(1, 2).reshape(b, t, h)), self.dropout)


class Layer(nn.Module):
    def __init__(self, hidden, heads, dropout, causal, first):
        super().__init__()
        self.attention = Attention(hidden, heads, dropout, causal)
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.up, self.down = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)
        self.dropout, self.first = dropout, first  # first: normalise before a branch (GPT-2), not after it (BERT)

    def mlp(self, x):
        y = F.gelu(self.up(x), approximate="tanh" if self.first else "none")
        return F.dropout(self.down(y), self.dropout)

    def forward(self, x, mask=None):
        if self.first:
            x = x + self.attention(self.norm1(x), mask)
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attention(x, mask))
        return self.norm2(x + self.mlp(x))


class Bert(nn.Module):
    def __init__(self, layers=12, hidden=768, heads=12, sequence=128, vocabulary=30522, classes=2, dropout=0.1):
        super().__init__()
        self.words, self.types = nn.Embedding(vocabulary, hidden), nn.Embedding(2, hidden)
        self.positions = nn.Embedding(max(512, sequence), hidden)
        self.norm, self.dropout = nn.LayerNorm(hidden), dropout
        self.layers = nn.ModuleList(Layer(hidden, heads, dropout, False, False) for _ in range(layers))
        self.pooler, self.classifier = nn.Linear(hidden, hidden), nn.Linear(hidden, classes)

    def forward(self, ids, mask, types):
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = F.dropout(self.norm(self.words(ids) + self.types(types) + self.positions(positions)), self.dropout)
        bias = ((1 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min)
        for layer in self.layers:
            x = layer(x, bias.to(x.dtype))
        return self.classifier(F.dropout(torch.tanh(self.pooler(x[:, 0])), self.dropout))


class Gpt2(nn.Module):
    def __init__(self, layers=12, hidden=768, heads=12, sequence=1024, vocabulary=50257, dropout=0.1):
        super().__init__()
        self.words, self.positions = nn.Embedding(vocabulary, hidden), nn.Embedding(max(1024, sequence), hidden)
        self.layers = nn.ModuleList(Layer(hidden, heads, dropout, True, True) for _ in range(layers))
        self.norm, self.dropout = nn.LayerNorm(hidden), dropout

    def forward(self, ids):
        x = F.dropout(self.words(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device)), self.dropout)
        for layer in self.layers:
            x = layer(x)
        return F.linear(self.norm(x), self.words.weight)


def resnet18(image=32, classes=10):
    return ResNet((2, 2, 2, 2), False, image, classes)


def resnet50(image=224, classes=1000):
    return ResNet((3, 4, 6, 3), True, image, classes)

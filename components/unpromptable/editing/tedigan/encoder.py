"""The in-domain encoder that inverts StyleGAN, with the published names, and the loading of both networks of
the pair.
"""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from unpromptable.models import published, tensors

from .stylegan import SLOPE, Generator, Scaled, Shape


class _Norm(nn.Module):
    """Batch norm over channels or features, one level down as in the published names."""

    def __init__(self, channels: int):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(x) if x.ndim == 4 else self.bn(x[..., None, None])[..., 0, 0]


class _First(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, channels, 3, padding=1, bias=False), _Norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.bn(self.conv(x)), SLOPE)


class _Residual(nn.Module):
    """Halve the resolution, then two convolutions beside a shortcut."""

    def __init__(self, inside: int, outside: int):
        super().__init__()
        middle = min(inside, outside)
        if inside != outside:
            self.conv, self.bn = nn.Conv2d(inside, outside, 1, bias=False), _Norm(outside)
        self.conv1, self.wscale1, self.bn1 = (
            nn.Conv2d(inside, middle, 3, padding=1, bias=False),
            Scaled(middle, 1.0),
            _Norm(middle),
        )
        self.conv2, self.wscale2, self.bn2 = (
            nn.Conv2d(middle, outside, 3, padding=1, bias=False),
            Scaled(outside, 1.0),
            _Norm(outside),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 2)
        short = F.leaky_relu(self.bn(self.conv(x)), SLOPE) if hasattr(self, "conv") else x
        x = F.leaky_relu(self.bn1(self.wscale1(self.conv1(x))), SLOPE)
        return F.leaky_relu(self.bn2(self.wscale2(self.conv2(x))), SLOPE) + short


class _Last(nn.Module):
    def __init__(self, inside: int, outside: int):
        super().__init__()
        self.fc, self.bn, self.gain = (
            nn.Linear(inside, outside, bias=False),
            _Norm(outside),
            1 / math.sqrt(inside),
        )
        nn.init.normal_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.fc(x.flatten(1)) * self.gain)


class Encoder(nn.Module):
    """Pictures (B, 3, R, R) to codes (B, L, W) near the generator's own."""

    def __init__(self, shape: Shape = Shape()):
        super().__init__()
        self.shape, halvings = shape, int(math.log2(shape.resolution)) - 2
        widths = [min(shape.first << i, shape.top) for i in range(halvings + 1)]
        self.block0 = _First(widths[0])
        for i, (a, b) in enumerate(zip(widths, widths[1:]), 1):
            self.add_module(f"block{i}", _Residual(a, b))
        self.count = halvings + 2
        self.add_module(f"block{halvings + 1}", _Last(widths[-1] * 16, shape.layers * shape.code))

    def forward(self, x: Tensor) -> Tensor:
        """Codes of pictures."""
        for i in range(self.count):
            x = getattr(self, f"block{i}")(x)
        return x.view(-1, self.shape.layers, self.shape.code)


def load(generator: Path, encoder: Path, shape: Shape = Shape()) -> tuple[Generator, Encoder]:
    """Both networks, frozen, from .pth files of tensors (the published ones) or .safetensors.

    The generator keeps its own truncation, as the reference does. Raises ValueError naming the file and the
    first name or shape that does not fit.
    """
    pair = Generator(shape), Encoder(shape)
    for network, path in zip(pair, (generator, encoder)):
        state = tensors.read(path)
        if isinstance(network, Generator):
            state = {**state, "truncation.truncation": network.truncation.truncation}
        published.fit(network, state, path)
    return tuple(network.eval().requires_grad_(False) for network in pair)

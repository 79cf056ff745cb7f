"""StyleGAN's generator with the published names, one half of the pair that TediGAN edits with; encoder.py is
the other.

At resolution 256 with the default widths the state dicts have the names and shapes of
styleganinv_ffhq256_generator.pth and styleganinv_ffhq256_encoder.pth as models/stylegan_generator_network.py
and stylegan_encoder_network.py of genforce/idinvert_pytorch (ce866b0) and IIGROUP/TediGAN (a9f6828, in base/)
load them, so those files load as they are; the miniature world's files are the same classes at 32. Pictures
are (B, 3, R, R) in [-1, 1], codes (B, L, W) with L = 2 log2(R) - 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2  # of every leaky rectifier
GAIN = math.sqrt(2)  # He's gain, applied when the network runs
FUSED = 128  # from this resolution on, upsampling and convolution are one transposed convolution


@dataclass(frozen=True)
class Shape:
    """Sizes of a generator and its encoder; the defaults are the published pair's."""

    resolution: int = 256
    code: int = 512  # W: length of one layer's code
    base: int = 16384  # the generator has min(base/r, most) channels at resolution r
    most: int = 512
    first: int = 64  # the encoder's channels at full resolution, doubled at every halving up to `top`
    top: int = 1024
    truncated: int = 8  # layers whose sampled codes are pulled towards the mean

    def __post_init__(self):
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise ValueError(
                f"stylegan.resolution is {self.resolution}; it must be a power of two of at least 8"
            )

    @property
    def layers(self) -> int:
        """Codes per picture: two for every resolution from 4 up."""
        return 2 * int(math.log2(self.resolution)) - 2

    def channels(self, layer: int) -> int:
        """The generator's channels after a layer."""
        return min(self.base // (4 << layer // 2), self.most)


class Scaled(nn.Module):
    """y = gain*x + rate*bias over channels: the learning-rate equaliser's second half."""

    def __init__(self, channels: int, gain: float, rate: float = 1.0):
        super().__init__()
        self.bias, self.gain, self.rate = nn.Parameter(torch.zeros(channels)), gain, rate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain + (self.bias * self.rate).view(1, -1, *[1] * (x.ndim - 2))


class _Dense(nn.Module):
    """A linear layer with equalised learning rate."""

    def __init__(self, inside: int, outside: int, gain: float, rate: float = 1.0):
        super().__init__()
        self.fc = nn.Linear(inside, outside, bias=False)
        nn.init.normal_(self.fc.weight, std=1 / rate)
        self.wscale = Scaled(outside, gain / math.sqrt(inside) * rate, rate)

    def forward(self, x: Tensor) -> Tensor:
        return self.wscale(self.fc(x))


class _Mapping(nn.Module):
    """z (B, W) to codes (B, L, W), one for every layer."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        for i in range(8):
            self.add_module(
                f"dense{i}", _Dense(shape.code, shape.code * (shape.layers if i == 7 else 1), GAIN, 0.01)
            )

    def forward(self, z: Tensor) -> Tensor:
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for i in range(8):
            x = F.leaky_relu(getattr(self, f"dense{i}")(x), SLOPE)
        return x.view(-1, self.shape.layers, self.shape.code)


class _Truncation(nn.Module):
    """Codes pulled towards the mean in the coarse layers; used for sampling, never for inversion."""

    def __init__(self, shape: Shape, psi: float = 0.7):
        super().__init__()
        pull = torch.ones(1, shape.layers, 1)
        pull[:, : shape.truncated] = psi
        self.register_buffer("w_avg", torch.zeros(shape.code))
        self.register_buffer("truncation", pull)

    def forward(self, codes: Tensor) -> Tensor:
        return self.w_avg + (codes - self.w_avg) * self.truncation


class _Noise(nn.Module):
    """A fixed noise plane per layer, weighted per channel."""

    def __init__(self, channels: int, resolution: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.register_buffer("noise", torch.randn(1, 1, resolution, resolution))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.noise * self.weight.view(1, -1, 1, 1)


class _Style(nn.Module):
    """x*(1 + scale) + shift, both from the layer's code."""

    def __init__(self, channels: int, code: int):
        super().__init__()
        self.dense = _Dense(code, 2 * channels, 1.0)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        scale, shift = self.dense(code).view(len(code), 2, -1, 1, 1).unbind(1)
        return x * (1 + scale) + shift


class _Epilogue(nn.Module):
    """Noise, bias, rectifier, instance norm, style: what follows every convolution."""

    def __init__(self, channels: int, resolution: int, code: int):
        super().__init__()
        self.apply_noise = _Noise(channels, resolution)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.style_mod = _Style(channels, code)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        x = F.leaky_relu(self.apply_noise(x) + self.bias.view(1, -1, 1, 1), SLOPE)
        x = x - x.mean((2, 3), keepdim=True)
        return self.style_mod(x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + 1e-8), code)


class _Blur(nn.Module):
    """[1 2 1] in both directions."""

    def __init__(self, channels: int):
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", (line.outer(line) / 16).expand(channels, 1, 3, 3).clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel, padding=1, groups=x.shape[1])


class _Layer(nn.Module):
    """One layer of the synthesis: a constant, a convolution, or a doubling of the resolution with a
    convolution.
    """

    def __init__(self, index: int, shape: Shape):
        super().__init__()
        resolution, channels = 4 << index // 2, shape.channels(index)
        before = shape.channels(index - 1) if index else 0
        self.kind = (
            "const" if index == 0 else "conv" if index % 2 else "fused" if resolution >= FUSED else "up"
        )
        self.gain = GAIN / math.sqrt(max(before, 1) * 9)
        if self.kind == "const":
            self.const = nn.Parameter(torch.randn(1, channels, 4, 4))
        elif self.kind == "fused":
            self.weight = nn.Parameter(torch.randn(3, 3, before, channels))
        else:
            self.conv = nn.Conv2d(before, channels, 3, padding=1, bias=False)
            nn.init.normal_(self.conv.weight)
        if index and index % 2 == 0:
            self.blur = _Blur(channels)
        self.epilogue = _Epilogue(channels, resolution, shape.code)

    def forward(self, x: Tensor | None, code: Tensor) -> Tensor:
        if self.kind == "const":
            return self.epilogue(self.const.expand(len(code), -1, -1, -1), code)
        if self.kind == "conv":
            return self.epilogue(self.conv(x) * self.gain, code)
        return self.epilogue(self.blur(self._doubled(x) * self.gain), code)

    def _doubled(self, x: Tensor) -> Tensor:
        if self.kind == "up":
            return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        wide = F.pad(self.weight, (0, 0, 0, 0, 1, 1, 1, 1))
        kernel = wide[1:, 1:] + wide[:-1, 1:] + wide[1:, :-1] + wide[:-1, :-1]  # 4 x 4: four shifted copies
        return F.conv_transpose2d(x, kernel.permute(2, 3, 0, 1), stride=2, padding=1)


class _Output(nn.Module):
    """Channels to RGB; only the last resolution's is used, the others are in the published file."""

    def __init__(self, channels: int):
        super().__init__()
        # the bias is the block's: output{k}.bias
        self.conv, self.bias = nn.Conv2d(channels, 3, 1, bias=False), nn.Parameter(torch.zeros(3))
        nn.init.normal_(self.conv.weight)
        self.gain = 1 / math.sqrt(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.conv.weight * self.gain, self.bias)


class _Synthesis(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.count = shape.layers
        self.register_buffer("lod", torch.zeros(()))
        for i in range(shape.layers):
            self.add_module(f"layer{i}", _Layer(i, shape))
        for k in range(shape.layers // 2):
            self.add_module(f"output{k}", _Output(shape.channels(2 * k)))

    def forward(self, codes: Tensor) -> Tensor:
        x = None
        for i in range(self.count):
            x = getattr(self, f"layer{i}")(x, codes[:, i])
        return getattr(self, f"output{self.count // 2 - 1}")(x)


class Generator(nn.Module):
    """Codes to pictures. Called with codes (B, L, W); `sample` draws codes from z (B, W)."""

    def __init__(self, shape: Shape = Shape()):
        super().__init__()
        self.shape = shape
        self.mapping, self.truncation, self.synthesis = _Mapping(shape), _Truncation(shape), _Synthesis(shape)

    def forward(self, codes: Tensor) -> Tensor:
        """Pictures (B, 3, R, R) in [-1, 1]."""
        return self.synthesis(codes).tanh()

    def sample(self, z: Tensor) -> Tensor:
        """Truncated codes (B, L, W) of random z (B, W)."""
        return self.truncation(self.mapping(z))

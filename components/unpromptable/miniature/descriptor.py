"""The miniature world's copy-detection descriptor, trained by SSCD's recipe on portraits; not the paper's
network.

Its embedding plays SSCD's part, its layers LPIPS's, its last layer's mean Inception's.
`python -m unpromptable.pretraining.descriptor --out FILE` trains it again.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE, WIDTHS, DIMENSIONS = 32, (32, 64, 96, 128), 64
WEIGHTS = Path(__file__).with_name("descriptor.safetensors")


class Descriptor(nn.Module):
    """Four convolutions, GeM pooling (p=3), a linear layer, unit length: (N, 3, H, W) in [0, 1] to (N,
    64).
    """

    def __init__(self):
        super().__init__()
        sizes = (3, *WIDTHS)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=1 if i == 0 else 2, padding=1)
            for i, (a, b) in enumerate(zip(sizes, sizes[1:]))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, b) for b in WIDTHS)
        self.head = nn.Linear(WIDTHS[-1], DIMENSIONS)

    def layers(self, x: Tensor) -> list[Tensor]:
        """The four activations; pictures of another size are brought to 32 x 32 first."""
        if x.shape[-2:] != (SIZE, SIZE):
            x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
        out, x = [], x * 2 - 1
        for conv, norm in zip(self.convs, self.norms):
            x = F.relu(norm(conv(x)))
            out.append(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Unit embeddings (N, 64)."""
        pooled = self.layers(x)[-1].clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3)
        return F.normalize(self.head(pooled), dim=1)

    def compared(self, x: Tensor) -> list[Tensor]:
        """The activations with channels of length sqrt(C) at every place, so that means of squares are
        LPIPS's sums.
        """
        return [F.normalize(layer, dim=1) * layer.shape[1] ** 0.5 for layer in self.layers(x)]

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """LPIPS's form without its fitted weights: unit channels, squared difference, mean over places and
        layers, (N,).
        """
        each = [(x - y).square().flatten(1).mean(1) for x, y in zip(self.compared(a), self.compared(b))]
        return torch.stack(each).mean(0)

    def features(self, x: Tensor) -> Tensor:
        """Spatial means of the last layer, (N, 128)."""
        return self.layers(x)[-1].mean((2, 3))


def load() -> Descriptor:
    """The shipped weights."""
    return shipped(Descriptor(), WEIGHTS)


def shipped(network: nn.Module, weights: Path) -> nn.Module:
    """`network` with the weights of a file that ships, frozen."""
    from safetensors.torch import load_file

    network.load_state_dict(load_file(str(weights)))
    return network.eval().requires_grad_(False)

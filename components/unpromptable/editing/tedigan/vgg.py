"""VGG16 up to its tenth convolution, with the names of vgg16.pth and Caffe's weights
(models/perceptual_model.py of genforce/idinvert_pytorch): what TediGAN compares pictures by.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from unpromptable.models import published, tensors

MEAN = (103.939, 116.779, 123.68)  # blue, green, red, on the 0-255 scale
WIDTHS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512)


class VGG(nn.Module):
    """Pictures (B, 3, S, S) in [-1, 1] to the rectified conv4_3, (B, 512, S/8, S/8); layer i is torchvision's
    features.i.
    """

    def __init__(self):
        super().__init__()
        self.count, before = 0, 3
        for width in WIDTHS:
            layers = (
                [nn.MaxPool2d(2)] if width == "pool" else [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            )
            before = before if width == "pool" else width
            for layer in layers:
                self.add_module(f"layer{self.count}", layer)
                self.count += 1
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features on the scale of 0-255 pixels, which the published weight 5e-5 belongs to."""
        x = (x + 1).mul(127.5).flip(1) - self.mean
        for i in range(self.count):
            x = getattr(self, f"layer{i}")(x)
        return x


def load(path: Path) -> VGG:
    """The network of vgg16.pth, frozen. The file's last three convolutions are not used."""
    network, state = VGG(), tensors.read(path)
    published.fit(
        network,
        {k: v for k, v in state.items() if not k.startswith(("layer24.", "layer26.", "layer28."))},
        path,
    )
    return network.eval().requires_grad_(False)

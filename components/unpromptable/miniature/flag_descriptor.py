"""The miniature world's eye for flags, ours: which design a picture shows, right or wrong, and a descriptor
beside it.

The layers are those of `descriptor.py`. Designs are the countries' flags and the wrong variants, `japan
wrong`; Ireland's wrong order of stripes is the Ivory Coast's flag and has its name. `python -m
unpromptable.pretraining.flag_descriptor --out FILE`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import flags
from .descriptor import DIMENSIONS, Descriptor, shipped

DESIGNS = (*flags.FLAGS, "japan wrong", "switzerland wrong")
WEIGHTS = Path(__file__).with_name("flag_descriptor.safetensors")
SHARPNESS = 12.0  # cosines times this are the logits


class FlagDescriptor(Descriptor):
    """`Descriptor` with one direction per design: (N, 3, H, W) in [0, 1] to unit embeddings (N, 64)."""

    def __init__(self):
        super().__init__()
        self.designs = nn.Parameter(torch.randn(len(DESIGNS), DIMENSIONS))

    def classify(self, x: Tensor) -> Tensor:
        """The nearest design's number, (N,)."""
        return self.logits(x).argmax(1)

    def logits(self, x: Tensor) -> Tensor:
        """(N, designs)."""
        return SHARPNESS * self(x) @ F.normalize(self.designs, dim=1).T


def load() -> FlagDescriptor:
    """The shipped weights."""
    return shipped(FlagDescriptor(), WEIGHTS)


def design(country: str, wrong: bool) -> int:
    """The number of a design."""
    name = {"ireland": "ivory coast"}.get(country, f"{country} wrong") if wrong else country
    return DESIGNS.index(name)

"""KID: how far the outputs lie from those before and from real images, free of the bias of few images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unpromptable import protocols
from unpromptable.scoring.estimates import Estimate, estimate

LEAST = 4  # images: two blocks of two


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """The unbiased squared MMD (Binkowski 2018) of the features of FID under the kernel (x.y/F + 1)^3.

    A mean over blocks of images, which are what n counts; the interval is over them. Numbers of images may
    differ, and a value may be below 0.
    """

    block: int = 1000  # images of the smaller side in a block

    def __post_init__(self):
        if self.block < 2:
            raise ValueError(f"kid.block is {self.block}; one image has no second, so it must be at least 2")

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """kid: after against before, pairs by seed; kid_real: after against real images; kid_real_floor: the
        base model's. Raises ValueError where before and after are no pairs, or too few.
        """
        features = lambda which: evidence.features(which, networks)
        if len(evidence.before) != len(evidence.after):
            raise ValueError(
                f"kid: {len(evidence.before)} images before, {len(evidence.after)} after are no pairs by seed"
            )
        floor = lambda: blocks(features("before"), features("real"), self.block)
        sides = ("before", "real")
        return {
            "kid": estimate(blocks(features("after"), features("before"), self.block, paired=True)),
            "kid_real": estimate(blocks(features("after"), features("real"), self.block)),
            "kid_real_floor": estimate(evidence.once("kid-real-floor", sides, networks, floor, self.block)),
        }


def blocks(a: np.ndarray, b: np.ndarray, block: int, paired: bool = False) -> np.ndarray:
    """`distance` of each block of the features a (n, F) and b (m, F), (blocks,): every k-th image of both.

    Raises ValueError where there are too few for two blocks.
    """
    least = min(len(a), len(b))
    if least < LEAST:
        raise ValueError(f"kid: {least} images make no two blocks; sample at least {LEAST}")
    count = max(2, least // block)
    return np.array([distance(a[k::count], b[k::count], paired) for k in range(count)])


def distance(a: np.ndarray, b: np.ndarray, paired: bool = False) -> float:
    """The unbiased squared MMD of features a (n, F) and b (m, F).

    No image is compared with itself, and no output with its own pair, which is alike by more than chance.
    """
    x, y = (np.asarray(side, np.float64) for side in (a, b))
    across = _others(_kernel(x, y)) if paired else _kernel(x, y).mean()
    return float(_others(_kernel(x, x)) + _others(_kernel(y, y)) - 2 * across)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _others(kernel: np.ndarray) -> Any:
    """The mean off the diagonal of (n, n)."""
    return (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))

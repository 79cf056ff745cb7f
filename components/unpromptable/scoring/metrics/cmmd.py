"""CMMD: how far the outputs lie from those before and from real images, in CLIP's embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpromptable import protocols
from unpromptable.scoring import onnx_files
from unpromptable.scoring.estimates import Estimate, estimate
from unpromptable.storage import fingerprints

# CLIP ViT-L/14 at 336 pixels a side with its own mean and deviation (Jayasumana 2024)
SHOWN = onnx_files.Input(*onnx_files.CLIP, size=336, resampling="bicubic")
SIGMA, SCALE = 10.0, 1000.0  # (Jayasumana 2024)
LEAST = 4  # images: two blocks of two


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """1000 times the unbiased squared MMD of unit embeddings under exp(-|x-y|^2 / (2 * 10^2)).

    Of any ONNX file's embeddings, so it is CMMD where the file is the image tower of CLIP ViT-L/14@336. A
    mean over blocks of images, which are what n counts; the interval is over them. CMMD's own code also pairs
    each image with itself, which adds to a value of few images; here one may be below 0.
    """

    model: str = ""  # the ONNX file
    block: int = 1000  # images of the smaller side in a block

    def __post_init__(self):
        if self.block < 2:
            raise ValueError(f"cmmd.block is {self.block}; one image has no second, so it must be at least 2")

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """cmmd: after against before, pairs by seed; cmmd_real: after against real images; cmmd_floor: before
        against them. Raises ValueError where before and after are no pairs, or too few.
        """
        if len(evidence.before) != len(evidence.after):
            raise ValueError(
                f"cmmd: {len(evidence.before)} images before, {len(evidence.after)} after are no pairs"
            )
        network = onnx_files.load(self.model, "cmmd.model", SHOWN)
        seen = {w: _embeddings(w, network, evidence, networks) for w in ("before", "after", "real")}
        apart = lambda a, b, paired: estimate(blocks(seen[a], seen[b], self.block, paired))
        return {
            "cmmd": apart("after", "before", True),
            "cmmd_real": apart("after", "real", False),
            "cmmd_floor": apart("before", "real", False),
        }

    def files(self) -> list[Path]:
        """The network. Raises ValueError where none is named, FileNotFoundError where it is not there."""
        return [onnx_files.file(self.model, "cmmd.model")]


def blocks(a: np.ndarray, b: np.ndarray, block: int, paired: bool = False) -> np.ndarray:
    """`distance` of each block of the embeddings a (n, D) and b (m, D), (blocks,): every k-th image of both.

    Raises ValueError where there are too few for two blocks.
    """
    least = min(len(a), len(b))
    if least < LEAST:
        raise ValueError(f"cmmd: {least} images make no two blocks; sample at least {LEAST}")
    count = max(2, least // block)
    return np.array([distance(a[k::count], b[k::count], paired) for k in range(count)])


def distance(a: np.ndarray, b: np.ndarray, paired: bool = False) -> float:
    """SCALE times the unbiased squared MMD of embeddings a (n, D) and b (m, D); paired: without pairs."""
    x, y = (np.asarray(side, np.float64) for side in (a, b))
    across = _others(_kernel(x, y)) if paired else _kernel(x, y).mean()
    return float(SCALE * (_others(_kernel(x, x)) + _others(_kernel(y, y)) - 2 * across))


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The Gaussian less 1, which the distance does not see: of unit vectors it is within 0.02 of 1."""
    squares = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * x @ y.T
    return np.expm1(-squares / (2 * SIGMA**2))


def _others(kernel: np.ndarray) -> float:
    """The mean off the diagonal of (n, n)."""
    return (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))


def _embeddings(which: str, network: onnx_files.Network, evidence, networks) -> np.ndarray:
    """Unit (n, D) of a side, once for all cells where it is the same for them."""
    of = fingerprints.of(network.path, time=False)
    compute = lambda: network.directions(getattr(evidence, which)).numpy()
    return evidence.once(f"cmmd-{which}", (which,), networks, compute, of)

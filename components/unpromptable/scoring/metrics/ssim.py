"""SSIM of the images before and after from the same seed (Wang 2004). Higher is better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpromptable import protocols
from unpromptable.scoring.estimates import Estimate, estimate


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """Wang's own: 11 x 11 Gaussian of 1.5 pixels, K1 0.01, K2 0.03, range [0, 1], windows that lie in the
    picture alone.

    The mean of the RGB channels, as scikit-image's with `gaussian_weights`. torchmetrics' value also counts
    windows over mirrored borders, and is another number. The paper names no variant.
    """

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """The mean over pairs by seed."""
        return {"ssim": estimate(similarity(evidence.before, evidence.after))}


def similarity(a: np.ndarray, b: np.ndarray, batch: int = 256) -> np.ndarray:
    """SSIM of each pair of uint8 (n, H, W, 3) images, (n,), by torchmetrics."""
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    from unpromptable.scoring.metric_networks import unit

    settings = {
        "gaussian_kernel": True,
        "sigma": 1.5,
        "kernel_size": 11,
        "k1": 0.01,
        "k2": 0.03,
        "data_range": 1.0,
        "reduction": "none",
        "return_full_image": True,
    }
    if min(a.shape[1:3]) < 11:
        raise ValueError(
            f"ssim: pictures of {a.shape[2]} x {a.shape[1]} pixels are smaller than its 11 x 11 window"
        )
    maps = (
        ssim(unit(a[i : i + batch]), unit(b[i : i + batch]), **settings)[1] for i in range(0, len(a), batch)
    )
    # valid windows alone; torchmetrics also counts mirrored borders
    return np.concatenate([m[..., 5:-5, 5:-5].mean((1, 2, 3)).numpy() for m in maps])

"""SSIM of the images before and after from the same seed (Wang 2004). Higher is better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unpromptable import equations, protocols
from unpromptable.scoring.estimates import Estimate, estimate

_BELLS = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
WINDOW = (_BELLS / _BELLS.sum()).tolist()  # the Gaussian of 1.5 pixels along one axis
C1, C2 = 0.01**2, 0.03**2
# numbers of a batch: what a processor's cache holds, and what keeps a GPU busy
BATCH = {"cpu": 1 << 18, "cuda": 1 << 22}


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """Wang's own: 11 x 11 Gaussian of 1.5 pixels, K1 0.01, K2 0.03, range [0, 1], windows that lie in the
    picture alone.

    The mean of the RGB channels, as scikit-image's with `gaussian_weights`. torchmetrics' value also counts
    windows over mirrored borders, and is another number. The paper names no variant.
    """

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """The mean over pairs by seed."""
        return {"ssim": estimate(similarity(evidence.before, evidence.after, networks.device))}


@torch.inference_mode()
def similarity(a: np.ndarray, b: np.ndarray, device: str = "cpu") -> np.ndarray:
    """SSIM of each pair of uint8 (n, H, W, 3) images, float64 (n,).

    Raises ValueError where pictures are smaller than the window.
    """
    if min(a.shape[1:3]) < len(WINDOW):
        raise ValueError(
            f"ssim: pictures of {a.shape[2]} x {a.shape[1]} pixels are smaller than its 11 x 11 window"
        )
    size = max(1, BATCH[device] // a[0].size)
    means = [
        _maps(*(_unit(side[i : i + size], device) for side in (a, b))).mean((1, 2, 3)).cpu()
        for i in range(0, len(a), size)
    ]
    return torch.cat(means).numpy()


def _unit(images: np.ndarray, device: str) -> Tensor:
    """uint8 (n, H, W, 3) to float64 (n, 3, H, W) in [0, 1]: in float32, variances lose six digits."""
    return equations.planes(images).to(device).double().contiguous() / 255


def _maps(x: Tensor, y: Tensor) -> Tensor:
    """SSIM at every window that lies in the picture, (n, 3, H-10, W-10)."""
    mx, my, squares, product = (_blurred(m) for m in (x, y, x * x + y * y, x * y))
    both, means = mx * my, mx * mx + my * my
    return (2 * both + C1) * (2 * (product - both) + C2) / ((means + C1) * (squares - means + C2))


def _blurred(x: Tensor) -> Tensor:
    """The Gaussian's mean over each window of (..., H, W), one axis after the other. Sums of shifted pictures
    stay in the processor's cache, as a convolution's copies do not.
    """
    for axis in (-2, -1):
        size = x.shape[axis] - len(WINDOW) + 1
        mean = WINDOW[0] * x.narrow(axis, 0, size)
        for k, weight in enumerate(WINDOW[1:], 1):
            mean.add_(x.narrow(axis, k, size), alpha=weight)
        x = mean
    return x

"""The surrogate is the target under Gaussian noise, drawn once (Table V: sigma 50 and 150)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpromptable import protocols


@dataclass(frozen=True)
class Editor(protocols.Editor):
    """Additive noise, clipped and rounded as an image file forces."""

    sigma: float = 50.0  # standard deviation on the 0-255 scale
    seed: int = 0  # another draw under the same training seed

    def __post_init__(self):
        if self.sigma <= 0:
            raise ValueError(f"noise.sigma is {self.sigma}; it must be above 0")

    def edit(self, scene: protocols.Scene) -> np.ndarray:
        """Noised targets, uint8 (F, H, W, 3); noise i depends on the seeds and i alone."""
        draws = [
            np.random.default_rng((scene.seed, i, self.seed)).normal(0, self.sigma, f.shape)
            for i, f in enumerate(scene.forget)
        ]
        return np.clip(np.rint(scene.forget + np.stack(draws)), 0, 255).astype(np.uint8)

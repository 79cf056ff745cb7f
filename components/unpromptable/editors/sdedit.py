"""SDEdit: noise the target to a strength and denoise it with the base model, a variation of it."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Editor:
    """The unconditional form: start at t = strength * 1000 and take every ancestral step down to 0."""

    strength: float = 0.6  # 0 keeps the target, 1 forgets it all; the paper states none
    draws: int = 8  # variations per target, of which the least similar in pixels is kept; eight cost as much as one
    seed: int = 0  # other variations under the same training seed

    def __post_init__(self):
        if not 0 < self.strength <= 1:
            raise ValueError(f"sdedit.strength is {self.strength}; it must lie in (0, 1]")
        if self.draws < 1:
            raise ValueError(f"sdedit.draws is {self.draws}; it must be at least 1")

    def edit(self, scene) -> np.ndarray:
        """Variations of the targets, uint8 (F, H, W, 3)."""
        from .. import sampling

        model = scene.model()
        t = min(max(int(self.strength * model.timesteps), 1), model.timesteps - 1)
        kept = []
        for i, (target, forget) in enumerate(zip(scene.targets, scene.forget)):
            show = lambda done, total: scene.progress(i * total + done, len(scene.forget) * total, f"varying {target}")
            pictures = sampling.inject(model, forget, t, self.draws, seed=scene.seed + 1000 * i + 1_000_003 * self.seed, progress=show)
            far = np.square(pictures.astype(float) - forget).mean((1, 2, 3))
            kept.append(pictures[int(far.argmax())])
        return np.stack(kept)

"""SDEdit: noise the target to a strength and denoise it with the base model, a variation of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpromptable import protocols
from unpromptable.equations import own_step
from unpromptable.sampling import seeds


@dataclass(frozen=True)
class Editor(protocols.Editor):
    """Unprompted models start at strength * 1000 thousandths of their process and take an ancestral step for
    each.

    Prompted ones take the image-to-image pipeline.
    """

    small: ClassVar[Mapping[str, Any]] = {"strength": 0.01}
    strength: float = 0.6  # 0 keeps the target, 1 forgets it all; the paper states none
    # variations per target, of which the least similar in pixels is kept; eight cost as much as one
    draws: int = 8
    seed: int = 0  # other variations under the same training seed
    prompt: str | None = None  # of prompted models; none is the experiment's own
    negative: str = ""  # prompt to be guided away from
    steps: int = 50  # of the whole schedule, of which strength takes its share (diffusers' default)
    guidance: float = 7.0  # of prompted models (diffusers' default)

    def __post_init__(self):
        if not 0 < self.strength <= 1:
            raise ValueError(f"sdedit.strength is {self.strength}; it must lie in (0, 1]")
        if self.draws < 1:
            raise ValueError(f"sdedit.draws is {self.draws}; it must be at least 1")
        if self.steps < 1 or self.guidance < 1:
            raise ValueError(
                f"sdedit.steps is {self.steps}, sdedit.guidance {self.guidance}; both must be at least 1"
            )

    def base_calls(self, timesteps: int) -> int:
        """Forward passes per target of a base model of so many timesteps, draws filled up to whole
        batches.
        """
        start = min(max(int(self.strength * 1000), 1), 999)
        start, stride = (own_step(x, timesteps) for x in (start, 1))
        return (self.draws + -self.draws % 8) * (-(-start // stride) + 1)

    def edit(self, scene: protocols.Scene) -> np.ndarray:
        """Variations of the targets, uint8 (F, H, W, 3)."""
        model = scene.model()
        kept = []
        for i, (target, forget) in enumerate(zip(scene.targets, scene.forget)):
            show = lambda done, total: scene.progress(
                i * total + done, len(scene.forget) * total, f"varying {target}"
            )
            pictures = model.sdedit(
                forget, self.strength, self.draws, scene.seed + 1000 * i + seeds.PRIME * self.seed, self, show
            )
            far = np.square(pictures.astype(float) - forget).mean((1, 2, 3))
            kept.append(pictures[int(far.argmax())])
        return np.stack(kept)

"""The paper's dagger row: a remember image, drawn anew at every update, stands in for the surrogate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from unpromptable import protocols


@dataclass(frozen=True)
class Editor(protocols.Editor):
    """A random remember image; the one in the artifact is the first draw, shown in the report."""

    redraws: ClassVar[bool] = True  # the trainer replaces the surrogate at every update

    def edit(self, scene: protocols.Scene) -> np.ndarray:
        """One random remember image per target, uint8 (F, H, W, 3)."""
        rng = np.random.default_rng(scene.seed)
        return scene.remember[rng.integers(len(scene.remember), size=len(scene.forget))]

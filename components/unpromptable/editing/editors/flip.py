"""The surrogate is the target mirrored left to right (Table V)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpromptable import protocols


@dataclass(frozen=True)
class Editor(protocols.Editor):
    """Horizontal flip."""

    def edit(self, scene: protocols.Scene) -> np.ndarray:
        """Mirrored targets, uint8 (F, H, W, 3)."""
        return scene.forget[:, :, ::-1].copy()

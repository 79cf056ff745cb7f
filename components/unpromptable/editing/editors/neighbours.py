"""The remember images nearest to the target: the surrogate is their posterior mean at each noised target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpromptable import protocols


@dataclass(frozen=True)
class Editor(protocols.Editor):
    """K nearest remember images by distance of their pixels, as ReTrack redirects a target (AISTATS 2026).

    At a noised target x_t, the trainer weighs them by how likely each is to have become x_t
    (`equations.posterior_mean`): near their plain mean at coarse noise, the nearest one alone at fine noise.
    The picture in the artifact is the plain mean, shown in the report.
    """

    neighbours: ClassVar[bool] = True
    small: ClassVar[dict[str, Any]] = {"k": 3}
    k: int = 10  # neighbours of each target (the ReTrack code)

    def __post_init__(self):
        if self.k < 1:
            raise ValueError(f"neighbours.k is {self.k}; it must be at least 1")

    def edit(self, scene: protocols.Scene) -> np.ndarray:
        """The mean of each target's neighbours, uint8 (F, H, W, 3)."""
        return self.nearest(scene).mean(1).round().astype(np.uint8)

    def nearest(self, scene: protocols.Scene) -> np.ndarray:
        """Each target's neighbours, the nearest first, uint8 (F, k, H, W, 3).

        Raises ValueError where fewer remember images are left than k.
        """
        if len(scene.remember) < self.k:
            raise ValueError(
                f"neighbours.k is {self.k}, but only {len(scene.remember)} remember images are left; lower it"
            )
        nearest = lambda f: scene.remember[by_distance(f, scene.remember)[: self.k]]
        return np.stack([nearest(f) for f in scene.forget])


def by_distance(forget: np.ndarray, remember: Any) -> np.ndarray:
    """Indices (R,) of the remember images, from the one whose pixels are nearest to a target's on; of equally
    near ones the first.
    """
    wanted = forget.astype(np.int64)
    # one picture at a time: the remember images may be more than memory holds as numbers
    far = np.array([np.square(wanted - picture).sum() for picture in remember])
    return np.argsort(far, kind="stable")

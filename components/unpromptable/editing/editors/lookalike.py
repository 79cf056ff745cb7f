"""The surrogate is the nearest remember image, by its pixels, that the descriptor finds another picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpromptable import protocols
from unpromptable.editing.editors.neighbours import by_distance

CHUNK = 64  # pictures of which descriptors are found at a time, the nearest first


@dataclass(frozen=True)
class Editor(protocols.Editor):
    """Needs no hands and no generator. What is near in pixels moves the model least; what is another picture
    to the descriptor is forgotten towards. Beyond the paper.
    """

    small: ClassVar[Mapping[str, Any]] = {"below": 0.9}
    below: float = 0.2  # similarity of descriptors to the target; half of what counts as forgotten

    def __post_init__(self):
        if not -1 < self.below <= 1:
            raise ValueError(f"lookalike.below is {self.below}; it is a similarity above -1 and at most 1")

    def edit(self, scene: protocols.Scene) -> np.ndarray:
        """Each target's lookalike, uint8 (F, H, W, 3). Raises ValueError where every remember image is too
        similar.
        """
        from unpromptable.scoring import metric_networks

        networks = metric_networks.of(scene.experiment.networks)
        return np.stack([self._of(f, scene.remember, networks.descriptor) for f in scene.forget])

    def _of(self, forget: np.ndarray, remember: Any, descriptor: Any) -> np.ndarray:
        own, order = descriptor(forget[None])[0], by_distance(forget, remember)
        for first in range(0, len(order), CHUNK):
            some = remember[order[first : first + CHUNK]]
            other = (descriptor(some) @ own).numpy() < self.below
            if other.any():
                return some[int(other.argmax())]
        raise ValueError(
            f"lookalike.below is {self.below}, but all {len(order)} remember images are more similar to a"
            " target; raise it, or keep pictures that differ more"
        )

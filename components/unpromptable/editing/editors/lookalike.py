"""The surrogate is the nearest remember image, by its pixels, that the descriptor finds another picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpromptable import protocols
from unpromptable.editing.editors.neighbours import by_distance

CHUNK = 64  # pictures of which descriptors are found at a time, the nearest first
SAMPLE = 256  # pictures by which it is known how alike unrelated ones are


@dataclass(frozen=True)
class Editor(protocols.Editor):
    """Needs no hands and no generator. What is near in pixels moves the model least; what is another picture
    to the descriptor is forgotten towards. Beyond the paper.
    """

    small: ClassVar[Mapping[str, Any]] = {"below": 0.9}
    # similarity of descriptors to the target, half of what counts as forgotten; where most pictures are more
    # alike than that, as faces are, their median
    below: float = 0.2

    def __post_init__(self):
        if not -1 < self.below <= 1:
            raise ValueError(f"lookalike.below is {self.below}; it is a similarity above -1 and at most 1")

    def edit(self, scene: protocols.Scene) -> np.ndarray:
        """Each target's lookalike, uint8 (F, H, W, 3). Raises ValueError where no remember image is another
        picture.
        """
        from unpromptable.scoring import metric_networks

        networks = metric_networks.of(scene.experiment.networks)
        return np.stack([self._of(f, scene.remember, networks.descriptor) for f in scene.forget])

    def _of(self, forget: np.ndarray, remember: Any, descriptor: Any) -> np.ndarray:
        own, order = descriptor(forget[None])[0], by_distance(forget, remember)
        alike = lambda pictures: (descriptor(pictures) @ own).numpy()
        any_ = np.sort(np.random.default_rng(0).permutation(len(order))[:SAMPLE])
        bound = max(self.below, float(np.median(alike(remember[any_]))))
        for first in range(0, len(order), CHUNK):
            some = remember[order[first : first + CHUNK]]
            other = alike(some) < bound
            if other.any():
                return some[int(other.argmax())]
        raise ValueError(
            f"lookalike.below is {self.below}, but no one of the {len(order)} remember images is less"
            " similar to a target; keep pictures that differ more"
        )

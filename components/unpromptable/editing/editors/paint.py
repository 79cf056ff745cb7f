"""The surrogate is a picture that a person edited by hand (the paper's third way, used for its flags)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpromptable import miniature, protocols
from unpromptable.editing import painting

# a portrait is painted anew until its similarity to the target is below half of what counts as forgotten
UNLIKE = 0.2
TRIES = 16
DRAWN = ("miniature", "flags")  # whose painted pictures are drawn by code
DESCRIPTOR = Path(miniature.__file__).with_name("descriptor.safetensors")


@dataclass(frozen=True)
class Editor(protocols.Editor):
    """Painted files named like their targets in `folder`, or the painted portraits of the miniature world."""

    # miniature | flags | a folder of painted pictures named like their targets; `python -m pipelines paint`
    # makes one
    folder: str = "miniature"

    def edit(self, scene: protocols.Scene) -> np.ndarray:
        """The painted targets, uint8 (F, H, W, 3). Raises where one is missing, unpainted, or another
        picture.
        """
        if self.folder in DRAWN:
            paint = {"miniature": self._portrait, "flags": self._flag}[self.folder]
            return np.stack([paint(t, f) for t, f in zip(scene.targets, scene.forget)])
        files = self.files(scene.targets, scene.among)
        return np.stack([painting.read_painted(*one) for one in zip(files, scene.targets, scene.forget)])

    def files(self, targets: tuple[str, ...], among: tuple[str, ...] = ()) -> list[Path]:
        """The painted file of each target, or the weights by which one portrait is told from another. Raises
        where a file is missing or may be another target's; among: all of the experiment's.
        """
        if self.folder in DRAWN:
            return [DESCRIPTOR] if self.folder == "miniature" else []
        return painting.find(Path(self.folder), targets, among)

    def _flag(self, target: str, original: np.ndarray) -> np.ndarray:
        from unpromptable.miniature import flags

        painted = flags.repaint(target, len(original))
        painting.check("paint.folder: flags", target, painted, original)
        return painted

    def _portrait(self, target: str, original: np.ndarray) -> np.ndarray:
        from unpromptable.miniature import portraits
        from unpromptable.scoring import metric_networks

        number, index = portraits.parse(target)
        person, seen = portraits.identity(number), portraits.nuisance(number, index)
        painted = [portraits.repaint(person, number + 1000 * k) for k in range(TRIES)]
        tries = np.stack([portraits.draw(other, seen, len(original)) for other in painted])
        describe = metric_networks.load("miniature").descriptor
        near = (describe(tries) @ describe(original[None]).T)[:, 0].numpy()
        painted = tries[int(np.argmax(near < UNLIKE))] if (near < UNLIKE).any() else tries[int(near.argmin())]
        painting.check("paint.folder: miniature", target, painted, original)
        return painted

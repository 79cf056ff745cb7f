"""The surrogate is a picture that a person edited by hand (the paper's third way, used for its flags)."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import data


@dataclass(frozen=True)
class Editor:
    """Painted files named like their targets in `folder`, or the painted portraits of the miniature world."""

    folder: str = "miniature"  # miniature | a folder holding <target's name>.png

    def edit(self, scene) -> np.ndarray:
        """The painted targets, uint8 (F, H, W, 3). Raises where one is missing, of another size, or unpainted."""
        painted = np.stack([self._portrait(t) if self.folder == "miniature" else self._file(t, scene.forget.shape[1]) for t in scene.targets])
        for target, image, original in zip(scene.targets, painted, scene.forget):
            if np.array_equal(image, original):
                raise ValueError(f"paint: the painted image of {target} equals the target, so there is nothing to forget towards; paint over it first")
        return painted

    def _portrait(self, target: str) -> np.ndarray:
        from ..miniature import portraits

        number, _, index = target.partition("-")
        if not (number.isdigit() and index.isdigit()):
            raise ValueError(f"paint.folder: {target} is no portrait of the miniature world; give a folder with its painted image")
        person = portraits.identity(int(number))
        return portraits.draw(portraits.repaint(person, int(number)), portraits.nuisance(int(number), int(index)))

    def _file(self, target: str, size: int) -> np.ndarray:
        from PIL import Image

        path = Path(self.folder) / f"{Path(target).stem}.png"
        image = data.read_image(path, size)
        with Image.open(path) as file:
            if file.size[0] != file.size[1]:
                raise ValueError(f"{path}: {file.size[0]} x {file.size[1]} pixels, but a painted image must be square like its target")
        return image

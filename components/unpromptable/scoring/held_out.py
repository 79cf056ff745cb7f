"""Pictures that the base model was not trained on: of a folder, or people whom the miniature's never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import pictures
from unpromptable.miniature import portraits


def take(evidence: Any, folder: str, number: int, what: str) -> np.ndarray:
    """The first `number` of them, uint8 (number, H, W, 3), none of them a target, nor a target's file.

    folder: empty takes strangers, where the real images are the miniature's. what: the setting that names it,
    for errors. Raises ValueError where there are not so many, or nothing says which they are.
    """
    if folder:
        how, size = evidence.pictures, evidence.real.shape[1]
        found = pictures.read_folder(folder, size, how.links, how.background, what, how.max_pixels)[0]
        targets = list(evidence.forget.values())
        found = found[[not any(np.array_equal(image, t) for t in targets) for image in found]]
    elif evidence.models is not None and evidence.models.experiment.real == "miniature":
        found = _strangers(number, tuple(evidence.forget), evidence.real.shape[1])
    else:
        raise ValueError(f"{what} is not given; name a folder of pictures that the base model never saw")
    if len(found) < number:
        raise ValueError(
            f"{what}: {folder} holds {len(found)} pictures that are no target, not {number}; ask for fewer"
        )
    return found[:number]


def files(folder: str, what: str) -> list[Path]:
    """The pictures of the folder, links out of it followed, as `pictures.links` may ask."""
    return list(pictures.find(folder, True, what).files) if folder else []


def _strangers(number: int, targets: tuple[str, ...], size: int) -> np.ndarray:
    """A picture of each of so many strangers, as far as there are any, without those who are a target."""
    last = portraits.PEOPLE + portraits.STRANGERS
    known = {t.partition("-")[0] for t in targets}
    people = [n for n in range(portraits.PEOPLE, last) if f"{n:04d}" not in known]
    return np.stack([portraits.picture(n, n % portraits.PICTURES, size) for n in people[:number]])

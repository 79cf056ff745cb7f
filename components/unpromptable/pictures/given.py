"""Pictures that a program holds, written as files that every step reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from . import display, opening, reading


def written(pictures: Iterable[Any], folder: Path) -> list[Path]:
    """Each picture as a PNG in `folder`, named by its number; their paths. What an earlier call left there
    is removed.

    Raises ValueError where there is none, or one is no picture, with its number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, given in enumerate(_items(pictures)):
        paths.append(folder / f"{number:06d}.png")
        _picture(given, number).save(paths[-1])
    for old in set(folder.glob("[0-9]" * 6 + ".png")) - set(paths):
        old.unlink()
    if not paths:
        raise ValueError(f"{folder.name}: no pictures were given")
    return paths


def _items(pictures: Any) -> Iterable[Any]:
    """Data sets of torch have a length and items, and no end for a loop to stop at."""
    if hasattr(pictures, "__len__") and hasattr(pictures, "__getitem__"):
        return (pictures[i] for i in range(len(pictures)))
    return pictures


def _picture(given: Any, number: int) -> Any:
    from PIL import Image

    if isinstance(given, dict):
        given = given.get("image", given)
    if isinstance(given, (tuple, list)) and given:
        given = given[0]  # (picture, label)
    if isinstance(given, (str, Path)):
        return Image.fromarray(reading.whole(Path(given)))
    if isinstance(given, Image.Image):
        return _seen(given, number)
    if hasattr(given, "detach"):
        given = _levels(given.detach().cpu().numpy())
    array = np.asarray(given)
    if (
        array.dtype != np.uint8
        or array.ndim not in (2, 3)
        or array.ndim == 3
        and array.shape[-1] not in (3, 4)
    ):
        raise ValueError(
            f"picture {number}: got {type(given).__name__} of {array.dtype} {array.shape}; give a path, a PIL"
            " picture, uint8 (H, W, 3), or a tensor (3, H, W) in [0, 1]"
        )
    return Image.fromarray(array)


def _seen(given: Any, number: int) -> Any:
    """A PIL picture as one that is read from a file; the caller's own stays as it is. Raises ValueError for
    what cannot be shown.
    """
    try:
        return display.held(given, "white")
    except opening.DAMAGE as error:
        raise ValueError(f"picture {number}: {opening.fault(error)}") from error


def _levels(planes: np.ndarray) -> np.ndarray:
    """A tensor (3, H, W) or (1, H, W) in [0, 1] as uint8 (H, W, 3); what is none, as it is."""
    if planes.ndim != 3 or planes.shape[0] not in (1, 3) or planes.min() < 0 or planes.max() > 1:
        return planes
    picture = np.moveaxis(planes, 0, -1) * 255
    return np.repeat(picture, 3 // picture.shape[-1], -1).round().astype(np.uint8)

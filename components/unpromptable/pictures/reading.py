"""Pictures read as uint8 arrays: one, or all of a folder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unpromptable.storage import arrays

from .display import shown
from .folders import NAMED, Folder, find, some
from .opening import LIMIT, opened

log = logging.getLogger(__name__)


def read(path: Path, size: int = 0, background: str = "white", limit: int = LIMIT) -> np.ndarray:
    """One picture as uint8 (size, size, 3): centre square, then antialiased resize; 0 leaves it as large as
    it is.

    limit: the pixels above which it is refused. Raises FileNotFoundError or ValueError that names the file
    and what is wrong with it.
    """
    picture, notes = _noted(Path(path), size, background, limit)
    for note in notes:
        log.info("%s: %s", path, note)
    return picture


def whole(path: Path, background: str = "white") -> np.ndarray:
    """One picture, not cut to a square, uint8 (H, W, 3). Raises as `read` does."""
    with opened(path) as (file, _):
        return np.asarray(shown(file, 0, background)[0])


def read_folder(
    folder: str | Path,
    size: int,
    links: bool = False,
    background: str = "white",
    what: str = "real",
    limit: int = LIMIT,
) -> tuple[np.ndarray, list[str]]:
    """Every picture below `folder`, uint8 (N, size, size, 3), and their paths relative to it.

    what: the setting that names it, for errors. limit: the pixels above which a picture is refused.
    """
    found = find(folder, links, what)
    return read_all(found, size, background, limit)[0], found.names


def read_all(
    folder: Folder,
    size: int,
    background: str = "white",
    limit: int = LIMIT,
    scratch: Path | None = None,
) -> tuple[np.ndarray, dict[str, str]]:
    """Every picture of a folder, uint8 (N, size, size, 3), and what there is to say of some: note -> how many
    and which.

    scratch: a file that is written, from which the array is read on demand; without it the array is held.
    Raises ValueError that names all pictures that cannot be read.
    """
    one = lambda file: _noted(file, size, background, limit)
    if scratch is None:
        images = np.empty((len(folder.files), size, size, 3), np.uint8)
        noted = _each(folder, one, images.__setitem__)
    else:
        with arrays.Scratch(scratch, (size, size, 3)) as rows:
            noted = _each(folder, one, lambda _, picture: rows.add(picture[None]))
            images = rows.rows()
    said = {note: some(names) for note, names in noted.items()}
    read_from = {f"pictures read from {folder.root}": str(len(images))}
    for what, which in (read_from | folder.said() | said).items():
        log.info("%s: %s", what, which)
    return images, said


def _each(
    folder: Folder,
    one: Callable[[Path], tuple[np.ndarray, list[str]]],
    take: Callable[[int, np.ndarray], None],
) -> dict[str, list[str]]:
    """Hand each picture on as `one` reads it, with its position; what there is to say -> of which."""
    noted: dict[str, list[str]] = {}
    broken = []
    for i, (file, name) in enumerate(zip(folder.files, folder.names)):
        try:
            picture, notes = one(file)
        except ValueError as error:
            broken.append(str(error))
            continue
        take(i, picture)
        for note in notes:
            noted.setdefault(note, []).append(name)
    if broken:
        raise ValueError(_broken(broken, folder.root))
    return noted


def _broken(faults: list[str], root: Path) -> str:
    """The first fault, and beside it how many more there are and the next few."""
    if len(faults) == 1:
        return faults[0]
    named = f"{'; '.join(faults[1:NAMED])}{' ...' if len(faults) > NAMED else ''}"
    return f"{faults[0]} (and {len(faults) - 1} more of {root}: {named})"


def _noted(path: Path, size: int, background: str, limit: int) -> tuple[np.ndarray, list[str]]:
    """The centre square at `size`, or at its own for 0, and what was done to the picture that people should
    know.
    """
    from PIL import Image, ImageOps

    with opened(path, limit) as (file, notes):
        picture, told = shown(file, size, background)
        side = size or min(picture.size)
        if picture.size != (side, side):
            picture = ImageOps.fit(picture, (side, side), Image.Resampling.LANCZOS)
        array = np.asarray(picture)
    return array, told + notes

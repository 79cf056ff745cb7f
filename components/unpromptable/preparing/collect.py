"""The real and forget images of an experiment, and what its remember set leaves out."""

from __future__ import annotations

import logging
from fnmatch import fnmatchcase
from glob import escape as glob_escape
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import pictures
from unpromptable.data import sha256
from unpromptable.miniature.sources import drawn_by
from unpromptable.planning.settings import Pictures

log = logging.getLogger(__name__)


def read_real(
    source: str, size: int, how: Pictures = Pictures(), scratch: Path | None = None
) -> tuple[np.ndarray, list[str], dict[str, str]]:
    """The real images of a world: the shipped portraits, the right flags of a country (`flags/japan`), or a
    folder.

    Returns them, their names, and what there is to say of the folder: what was passed over, or done to some
    pictures. Those of a folder are read on demand from the file `scratch`, which is written, where it is
    given.
    """
    drawn = drawn_by(source)
    if drawn is None:
        found = pictures.find(source, how.links)
        images, said = pictures.read_all(found, size, how.background, how.max_pixels, scratch)
        return images, found.names, {**found.said(), **said}
    if source == "miniature":
        return *drawn.training_set(size), {}
    return *drawn.right(source.partition("/")[2], size), {}


def read_forget(
    targets: list[str], images: np.ndarray, names: list[str], source: str = "", how: Pictures = Pictures()
) -> np.ndarray:
    """The forget images, (F, H, W, 3): real images by name, other drawn pictures of the source (people whom
    no network knows), or files.
    """
    known, drawn = {n: images[i] for i, n in enumerate(names)}, drawn_by(source)
    more, size = set(drawn.names()) if drawn else set(), images.shape[1]
    one = lambda t: (
        known[t]
        if t in known
        else drawn.picture(*drawn.parse(t), size)
        if t in more
        else pictures.read(Path(t), size, how.background, how.max_pixels)
    )
    return np.stack([one(t) for t in targets])


def collect(
    source: str,
    size: int,
    targets: list[str],
    leave_out: tuple[str, ...] = (),
    how: Pictures = Pictures(),
    scratch: Path | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Real and forget images; a forget image among the real ones is removed from the remember set, and that
    is said.

    leave_out: patterns of names that are removed as well, {group} being a target's name among the images up
    to its last dash or slash: other pictures of the person would teach the forgotten one again. A pattern
    without {group} must fit an image; of one with it that fits none there is a warning.

    Returns arrays 'real' (N, H, W, 3), 'forget' (F, H, W, 3) and a manifest with names, forget_names, removed
    and what there is to say of the folder. scratch: see `read_real`.
    """
    images, names, said = read_real(source, size, how, scratch)
    forget = read_forget(targets, images, names, source, how)
    removed = _removed(images, names, forget, targets, leave_out, source)
    return {"real": images, "forget": forget}, {
        "names": names,
        "forget_names": list(targets),
        "removed": removed,
        "source": source,
        "said": said,
    }


def _removed(
    images: np.ndarray,
    names: list[str],
    forget: np.ndarray,
    targets: list[str],
    leave_out: tuple[str, ...],
    source: str,
) -> list[str]:
    """The names of real images that are not to be remembered. Raises ValueError where none would be left."""
    hashes = {sha256(f) for f in forget}
    found = [n for n, image in zip(names, images) if sha256(image) in hashes]
    if found:
        words = "forget images found among the %d real ones and removed from the remember set: %s"
        log.info(words, len(names), ", ".join(found))
    own = {pictures.named(t, source, names) for t in targets}.union(found)
    more = left_out(names, targets, leave_out, source) - own
    for pattern in leave_out:
        if not left_out(names, targets, (pattern,), source) - own:
            words = "remember.leave_out: %s fits no image of %s but the targets, whose {group} is %s"
            log.warning(words, pattern, source, ", ".join(sorted(_groups(targets, source, names))))
    if leave_out:
        words = "left out of the remember set for showing the same as a target (remember.leave_out): %s"
        log.info(words, f"{len(more)} images" if more else "none, no other image fits")
    removed = [n for n in names if n in found or n in more]
    if len(removed) == len(names):
        raise ValueError(
            f"real: all {len(names)} images of {source} are forget"
            f" images{' or left out by remember.leave_out' if more else ''}, so the remember set would be"
            f" empty; add images to keep{' or correct the pattern' if more else ''}"
        )
    return removed


def left_out(names: list[str], targets: list[str], leave_out: tuple[str, ...], source: str) -> set[str]:
    """The names that any pattern fits. Raises ValueError for a pattern without {group} that fits none."""
    groups = {glob_escape(g) for g in _groups(targets, source, names)}
    found: set[str] = set()
    for pattern in leave_out:
        left = {n for n in names for g in groups if fnmatchcase(n, pattern.replace("{group}", g))}
        if not left and "{group}" not in pattern:
            raise ValueError(
                f"remember.leave_out: {pattern} fits none of the images of {source} (such as {names[0]});"
                " correct the pattern or leave it out"
            )
        found |= left
    return found


def _groups(targets: list[str], source: str, names: list[str]) -> set[str]:
    """What {group} stands for."""
    return {pictures.group(pictures.named(t, source, names)) for t in targets}

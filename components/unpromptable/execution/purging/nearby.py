"""What lies around a run and shows its targets too: other runs, and what a request left that broke off; and
what names them there.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from unpromptable import data
from unpromptable.planning import spec as planned
from unpromptable.releasing import begun, series
from unpromptable.releasing.begun import BASE, EXPERIMENT, HELD
from unpromptable.storage import files, place, records

from . import cut
from .found import Found

log = logging.getLogger(__name__)
COPIES = (f"{place.SHARED}/data.safetensors", HELD)  # of a run: the files with pictures as `forget`


def neighbours(found: Found) -> list[str]:
    """Folders of runs of the same targets, or with copies of them: beside the run, beside the request whose
    run it is, and of the same series. What one has made serves the next.
    """
    root = found.root
    if files.mirrors(root):
        return []
    own = _digests(root, found.targets)
    return [str(f) for f in _around(root) if f != root.resolve() and _shares(f, found.targets, own)]


def _around(root: Path) -> list[Path]:
    """The folders where other runs lie, or what is left of them; none that only others may read."""
    homes = [root.parent, *([root.parents[1]] if _requested(root) else [])]
    near = [p for home in homes for kind in ("*", f"*/{series.RUN}") for p in home.glob(kind)]
    folders = {p.resolve() for p in (*near, *_series(root.parent / begun.FILE))}
    return sorted(f for f in folders if any(os.access(f / name, os.R_OK) for name in COPIES))


def _requested(root: Path) -> bool:
    """Whether a run is that of a request, which has a folder to itself."""
    marks = (root / BASE, root / HELD, root.parent / begun.FILE)  # earlier versions left no began.json
    return root.name == series.RUN and any(m.is_file() for m in marks)


def _series(began: Path) -> list[Path]:
    """The runs of all requests of a series."""
    home = records.kept(began).get("home")
    try:
        return [entry.run for entry in series.read(Path(home))] if home else []
    except ValueError as error:
        log.warning("%s; its requests may be of the same targets", error)
        return []


def _shares(folder: Path, targets: tuple[str, ...], own: set[str]) -> bool:
    """Whether a folder shows one of these targets: by its picture, or by its name in the run's plan. A run
    whose plan cannot be read may, which is said.
    """
    if own & _digests(folder):
        return True
    try:
        return planned.planned(folder) and bool(set(planned.read(folder).shared.targets) & set(targets))
    except ValueError as error:
        log.warning("%s; it may be a run of the same targets", error)
        return True


def _digests(folder: Path, targets: tuple[str, ...] = ()) -> set[str]:
    """SHA-256 of the pictures to forget that a folder holds, all or these targets'."""
    return {
        data.sha256(picture)
        for path in (folder / name for name in COPIES)
        for name, picture in _pictures(path)
        if not targets or name in targets
    }


def _pictures(path: Path) -> list[tuple[str, np.ndarray]]:
    """The pictures to forget in a file with their names, empty where it has none; nothing of a damaged file,
    which is said.
    """
    if not os.access(path, os.R_OK):
        return []
    try:
        pictures, told = data.peek(path, "forget")
    except ValueError as error:
        log.warning("%s", error)
        return []
    if pictures is None:
        return []
    return list(zip(told.get("forget_names") or [""] * len(pictures), pictures))


def left(root: Path) -> Found | None:
    """What a folder holds without a run: the pictures of a request that was ended before it planned one, or
    whose plan is gone. None where there is a run, or nothing of the kind.
    """
    if files.mirrors(root) or planned.planned(root):
        return None
    shared = [p for p in root.glob(f"{place.SHARED}/*.safetensors") if cut.is_artifact(p)]
    names = sorted(p.relative_to(root).as_posix() for p in (*root.glob(f"{HELD}*"), *shared))
    return Found(root, None, (), True, tuple(names)) if names else None


def texts(root: Path) -> list[Path]:
    """What stands beside a request's run and names its targets; a run of no request has no such thing."""
    path = root.parent / EXPERIMENT
    here = not files.mirrors(root) and path.is_file()
    return [path] if here and _requested(root) else []

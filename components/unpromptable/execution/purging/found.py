"""Which files of a run may hold pictures of its targets, told by their places and kinds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unpromptable.planning import spec as planned
from unpromptable.planning.spec import Run
from unpromptable.reporting import veil
from unpromptable.storage import files, inventory, lease

WEIGHTS = frozenset({"unlearned", "pretrained"})  # folders of models, which hold no pictures
STATE = ("training", "resume.safetensors")  # weights and moments of a stopped training
OTHER = frozenset({"", ".db", ".db-wal", ".db-shm", ".db-journal", ".lock"})  # kinds that hold none either
BESIDE = re.compile(r"^\.(.+)\.(?:done|lease-\d+)$")  # a mark or a lease, of the file beside it
LEASE = re.compile(r"^\..+\.lease-\d+$")
OVERVIEW = "overview.html"  # of several runs, in the folder above them


@dataclass(frozen=True)
class Found:
    """A run and what is to go of it: the targets, whether those are all, and the files by their paths."""

    root: Path
    run: Run | None  # None where only files lie there, of a request that was ended before it planned a run
    targets: tuple[str, ...]
    whole: bool
    files: tuple[str, ...]


def look(root: Path, targets: tuple[str, ...]) -> Found:
    """What may hold pictures of these targets, or of all where none is named.

    Raises ValueError where no run is there, or it has no such target.
    """
    if not planned.planned(root):
        raise ValueError(f"{files.address(root / planned.FILE)}: no run is there; name the folder of a run")
    files.refetch(root / planned.FILE)
    run = planned.read(root)
    known = run.shared.targets
    for wrong in (t for t in targets if t not in known):
        raise ValueError(f"--target {wrong}: no target of this run; choose from {', '.join(known)}")
    held = tuple(n for n in inventory.names(root) if holds_pictures(n) or _embeds(root, n))
    return Found(root, run, targets or known, not targets, held)


def holds_pictures(name: str) -> bool:
    """Whether a file may hold pictures, by its path below a run's folder. What is of no known kind may."""
    path = PurePosixPath(name)
    beside = BESIDE.match(path.name)
    path = path.with_name(beside[1]) if beside else path
    if path.parts[0] == "kfp":
        return True
    if WEIGHTS & set(path.parts[:-1]) or path.parts[-2:] == STATE:
        return False
    return not veil.plain(path) and path.suffix not in OTHER


def _embeds(root: Path, name: str) -> bool:
    """Whether a text holds pictures as base64."""
    if not is_text(name) or BESIDE.match(PurePosixPath(name).name):
        return False
    return b"data:image/" in files.fetch(root / name).read_bytes()


def is_text(name: str) -> bool:
    """Whether a file of a run is text."""
    return PurePosixPath(name).suffix in veil.TEXTS


def at_work(root: Path) -> str:
    """What a run makes there now and who makes it; empty where nothing is at work."""
    for name in inventory.names(root):
        if LEASE.match(PurePosixPath(name).name):
            owner = lease.alive(root / name, inventory.age(root, name))
            if owner:
                return f"{name}, held by {owner}"
    return ""


def overviews(root: Path) -> list[Path]:
    """The page of several runs that shows this one's pictures too, where there is one."""
    page = root.parent / OVERVIEW
    return [page] if page.is_file() and not files.mirrors(root) else []

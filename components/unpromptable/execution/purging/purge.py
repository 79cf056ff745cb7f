"""Remove what a run holds of its targets, and say what went and what could not be reached."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from unpromptable.storage import files, inventory, records
from unpromptable.storage.inventory import Held
from unpromptable.tracking import purging as tracked
from unpromptable.tracking.purging import Missed

from . import cut, found, naming, nearby
from .found import Found
from .naming import Renaming

NOTE = "purged.json"  # in the run's folder: what each purge removed
CLUSTER = "log.txt"  # of a run on this machine


@dataclass
class Told:
    """What was removed, and what could not be reached."""

    removed: list[Held] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)
    noted: bool = True  # whether the folder's own note says so


def purge(asked: Found, names: bool, say: Callable[[Held], None]) -> Told:
    """Remove pictures, then names where asked, here, where the run is published, and in MLflow; the note of
    it stays in the run's folder.
    """
    if asked.run is None:
        return _left(asked, say)
    told, renaming = Told(), Renaming(asked.targets) if names else None
    told.missed += _elsewhere(asked)
    for name in asked.files:
        _take(_pictures(asked, name), told, say)
    for page in found.overviews(asked.root):
        _take(_removed(page.parent, page.name), told, say)
    labelled = renaming is not None and _labelled(asked, renaming)
    if labelled:
        for name in [n for n in inventory.names(asked.root) if n.endswith(".png")]:
            _take(_removed(asked.root, name), told, say)
    if renaming:
        naming.rewrite(asked.root, renaming)
        for path in nearby.texts(asked.root):
            naming.text(path.parent, path, renaming)
    gone, missed = tracked.remove(str(asked.root), renaming.text if renaming else None, labelled)
    _take(gone, told, say)
    told.missed += missed
    for spec in asked.run.cells:  # a run that is repeated makes its rows anew, of pictures that are there
        row = renaming.text(spec.folder) if renaming else spec.folder
        files.remove(asked.root / row / ".row.json.done")
    inventory.prune(asked.root)
    _note(asked, told, renaming)
    return told


def _left(asked: Found, say: Callable[[Held], None]) -> Told:
    """Remove what lies in a folder without a run. What was held there of other requests is no picture of its
    own, so it is not noted: a series takes a note to say that its run's own pictures were purged.
    """
    told = Told(noted=not all(name.startswith(nearby.HELD) for name in asked.files))
    for name in asked.files:
        _take(_removed(asked.root, name), told, say)
    inventory.prune(asked.root)
    if told.noted:
        _note(asked, told, None)
    return told


def _take(gone: list[Held], told: Told, say: Callable[[Held], None]) -> None:
    told.removed += gone
    for one in gone:
        say(one)


def _pictures(asked: Found, name: str) -> list[Held]:
    """Remove a file that may hold pictures, or of an image artifact what is the targets' alone."""
    path = asked.root / name
    if asked.whole or name.startswith("kfp/"):
        return _removed(asked.root, name)
    if found.BESIDE.match(path.name):
        return []  # a mark goes with what it marks
    if path.suffix == ".safetensors" and cut.is_artifact(files.fetch(path)):
        return cut.cut(asked.root, name, asked.targets, asked.run)
    return _removed(asked.root, name)


def _removed(root: Path, name: str) -> list[Held]:
    """Remove a file with its mark, here and where it is published."""
    gone = inventory.held(root, name)
    files.clear(root / name)
    return gone


def _labelled(asked: Found, renaming: Renaming) -> bool:
    """Whether plots have a target's name in their labels, which are pixels."""
    return any(renaming.touches(s.name) or renaming.touches(s.cell.group) for s in asked.run.cells if s.cell)


def _elsewhere(asked: Found) -> list[Missed]:
    """Copies that are known of and lie out of reach."""
    missed = []
    if not (asked.root / CLUSTER).is_file():
        why = "Kubeflow keeps the pages that its UI showed in a store of its own; remove the run's there"
        missed.append(Missed("pages of a run on a cluster", why))
    if kept := inventory.versioned(asked.root):
        why = "the bucket keeps earlier versions of what is removed; remove these too"
        missed.append(Missed(f"earlier versions in {kept}", why))
    for folder in nearby.neighbours(asked):
        missed.append(Missed(folder, "another run of the same targets; purge it too"))
    return missed


def _note(asked: Found, told: Told, renaming: Renaming | None) -> None:
    """Add this purge to the run's note."""
    path = files.refetch(asked.root / NOTE)
    before = records.kept(path, list)
    entry = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "targets": list(asked.targets),
        "all": asked.whole,
        "removed": [asdict(h) for h in told.removed],
        "not_reached": [asdict(m) for m in told.missed],
    }
    text = json.dumps([*before, entry], indent=1)
    files.write_text(path, renaming.text(text) if renaming else text)

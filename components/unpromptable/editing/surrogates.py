"""Surrogates are built once for all cells that can share them, and values of a setting in one go.

An editor that names a setting in `together` and has `edit_many` gets all values of that setting which the
experiment asks for at once. Every value's surrogates are a file of their own, shared by hard links.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unpromptable import data
from unpromptable.planning.spec import Run, Spec
from unpromptable.storage import files, lease

from . import engine


def obtain(run: Run, spec: Spec, store: str, data_path: Path, pretrained: Path, progress: Callable) -> Path:
    """The file with a cell's surrogates, built first where no cell has done so yet.

    run: with all its cells. A second local cell waits for the first at its lock; a pod, which may not see
    that, at the file's lease.
    """
    mine = _path(store, spec)
    if files.finished(mine, _key(spec)):
        return mine
    siblings = _siblings(run, spec)
    lock = mine.with_name(f"surrogates-{min(map(_key, siblings))[:16]}.lock")
    with files.locked(lock), lease.Lease(lock.with_suffix("")) as held:
        wanted = [s for s in siblings if not files.finished(_path(store, s), _key(s))]
        if any(_key(s) == _key(spec) for s in wanted):
            cells, bar = [s.cell for s in wanted], held.watched(progress)
            made = engine.edit(cells, run.experiment, data_path, pretrained, bar)
            for one, (arrays, manifest) in zip(wanted, made):
                data.save(_path(store, one), arrays, manifest)
                files.finish(_path(store, one), _key(one))
    return mine


def _siblings(run: Run, spec: Spec) -> list[Spec]:
    """The cell's spec first, then one for every other value of the setting that is built together."""
    setting = spec.cell.editor.made.together
    if not setting:
        return [spec]
    alike = [s for s in run.cells if _without(s, setting) == _without(spec, setting)]
    return list({_key(s): s for s in [spec, *alike]}.values())


def _without(spec: Spec, setting: str) -> tuple[Any, ...]:
    """All that a cell's surrogates depend on but `setting`; defaults and values written out are the same."""
    cell = spec.cell
    settings = asdict(cell.editor.made)
    rest = {k: v for k, v in settings.items() if k != setting}
    return cell.editor.name, rest, cell.forget, cell.training.seed


def _key(spec: Spec) -> str:
    return spec.keys["surrogates"]


def _path(store: str, spec: Spec) -> Path:
    return Path(store) / "shared" / f"surrogates-{_key(spec)[:16]}.safetensors"

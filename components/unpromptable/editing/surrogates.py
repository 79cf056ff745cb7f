"""Surrogates are built once for all cells that can share them, and settings that an editor can build together
in one go.

An editor whose class names a setting in `together` and has `edit_many(scene, values)` gets all values of that
setting which the experiment asks for at once. Every value's surrogates are a file of their own, shared by
hard links.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unpromptable import data
from unpromptable.planning.experiment import read_cell, read_experiment
from unpromptable.storage import lease, store

from . import engine


def obtain(spec: dict[str, Any], where: str, data_path: str, pretrained: str, progress: Callable) -> Path:
    """The file with a cell's surrogates, built first where no cell has done so yet.

    A second local cell waits for the first at its lock; a pod, which may not see that, at the file's lease.
    """
    mine = _place(where, spec)
    if store.finished(mine, spec["surrogates"]):
        return mine
    siblings = _siblings(where, spec)
    lock = mine.with_name(f"surrogates-{_family(siblings)}.lock")
    with store.locked(lock), lease.Lease(lock.with_suffix("")) as held:
        wanted = [s for s in siblings if not store.finished(_place(where, s), s["surrogates"])]
        if any(s["surrogates"] == spec["surrogates"] for s in wanted):
            _build(wanted, where, data_path, pretrained, held.watched(progress))
    return mine


def _build(
    specs: list[dict[str, Any]], where: str, data_path: str, pretrained: str, progress: Callable
) -> None:
    cells = [read_cell(s["cell"]) for s in specs]
    made = engine.edit(cells, read_experiment(specs[0]["experiment"]), data_path, pretrained, progress)
    for spec, (arrays, manifest) in zip(specs, made):
        data.save(_place(where, spec), arrays, manifest)
        store.finish(_place(where, spec), spec["surrogates"])


def _siblings(where: str, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The cell's spec first, then one spec for every other value of the setting that its editor builds
    together.
    """
    setting = getattr(read_cell(spec["cell"]).editor.made, "together", None)
    if setting is None:
        return [spec]
    planned = json.loads(store.fetch(Path(where) / "experiment.json").read_text())["cells"]
    alike = [s for s in planned if _without(s, setting) == _without(spec, setting)]
    return list({s["surrogates"]: s for s in [spec, *alike]}.values())


def _without(spec: dict[str, Any], setting: str) -> tuple[Any, ...]:
    """All that a cell's surrogates depend on but `setting`; defaults and values written out are the same."""
    cell = read_cell(spec["cell"])
    settings = asdict(cell.editor.made)
    return (
        cell.editor.name,
        {k: v for k, v in settings.items() if k != setting},
        cell.forget,
        cell.training.seed,
    )


def _family(specs: list[dict[str, Any]]) -> str:
    return min(s["surrogates"] for s in specs)[:16]


def _place(where: str, spec: dict[str, Any]) -> Path:
    return Path(where) / "shared" / f"surrogates-{spec['surrogates'][:16]}.safetensors"

"""A step's output is made once: skipped when finished, written under a temporary name, and its failure written down."""
from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import progress, store

log = logging.getLogger(__name__)
FORESEEN = (ValueError, OSError, RuntimeError, FloatingPointError)  # anything else is a bug and stops the step


def guarded(spec: str, where: str, step: str, name: str, to: str, build: Callable) -> None:
    """`make`, but a foreseeable failure is written down and the cell's later steps pass by."""
    whole = json.loads(spec)
    if whole["folder"] == "shared":
        return make(where, whole, step, name, to, build)
    note = store.place(where, whole, "failed.json")
    if store.fetch(note).exists():
        return _hand_on_nothing(to)
    try:
        make(where, whole, step, name, to, build)
    except FORESEEN as error:
        text = f"the disk is full: {error}; free some space and run again" if getattr(error, "errno", None) == 28 else str(error)
        log.exception("%s: %s failed", whole["name"], step)
        store.write_text(note, json.dumps({"step": step, "error": text}))
        progress.event(where, whole["name"], step, "failed", text)
        _hand_on_nothing(to)


def _hand_on_nothing(to: str) -> None:
    if to:
        store.write_text(Path(to), "")  # the pipeline needs a file; failed.json says why it is empty


def make(where: str, spec: dict[str, Any], step: str, name: str, to: str, build: Callable) -> None:
    """Hand on the cell's output `name`, after `build(path, bar)` wrote it where it was not finished yet."""
    path = store.place(where, spec, name)
    if store.finished(path, spec["key"]):
        progress.event(where, spec["name"], step, "skipped", "")
    else:
        progress.event(where, spec["name"], step, "start", "")
        store.clear(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.part{path.suffix}")
        store.clear(temporary)
        build(temporary, _bar(where, spec["name"], step))
        os.replace(temporary, path)
        store.finish(path, spec["key"])
        progress.event(where, spec["name"], step, "done", "")
    if to:
        store.deliver(path, to)


def _bar(where: str, cell: str, step: str) -> Callable:
    """progress(done, total, text) for a step whose total is known when it first calls."""
    bars: dict[int, Any] = {}

    def show(done: int, total: int, text: str = "") -> None:
        if total not in bars:
            bars[total] = progress.Progress(where, cell, step, total)
        bars[total].update(done, text)

    return show

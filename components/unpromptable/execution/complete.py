"""Cells of which nothing is left to do: a run that is started again spends no process and no pod on them."""

from __future__ import annotations

from pathlib import Path

from unpromptable.planning.spec import Run, Spec
from unpromptable.storage import files, progress

from . import injecting, sample_step, score_step


def left(run: Run, cells: list[Spec], store: str) -> list[Spec]:
    """Of these cells those with something to do; of the others it is told that they are finished.

    In an object store it is not looked up, since all that was made would be fetched for it.
    """
    if "://" in files.address(Path(store) / "cells"):
        return cells
    done = {spec.folder for spec in cells if _complete(run, spec, store)}
    for spec in cells:
        if spec.folder in done:
            progress.event(store, spec.name, "score", "skipped")
    return [spec for spec in cells if spec.folder not in done]


def _complete(run: Run, spec: Spec, store: str) -> bool:
    """Whether each of its steps would pass by: what they make is there, whole, and of what is asked now."""
    told = spec.place(store).path("cell.json")
    if not told.is_file() or told.read_text() != spec.to_text():
        return False
    made = (("edit", "surrogates.safetensors", "surrogates"), ("unlearn", "unlearned", "unlearned"))
    decided = injecting.decided(run, spec, store)
    if decided is None or not all(spec.output(store, *one).finished() for one in made):
        return False
    drawn = [*([spec] if decided.draw else []), *(run.of(Path(mate).name) for mate in decided.also)]
    there = lambda one: sample_step.images_of(run, one, store).finished()
    return all(there(one) and score_step.scored(run, one, store) for one in drawn)

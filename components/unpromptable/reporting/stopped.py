"""Cells that stopped drawing, since another is sure to dominate them (sampling.stop), and so are measured by
the images until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unpromptable.planning.experiment import Experiment
from unpromptable.planning.spec import Spec
from unpromptable.storage import records
from unpromptable.storage.place import Output


@dataclass(frozen=True)
class Stopped:
    """After how many images a cell stopped, and the name of the cell that dominates it."""

    images: int
    by: str


def may(experiment: Experiment, spec: Spec) -> bool:
    """Whether a cell is compared with others while it draws: those whose line of a table is theirs alone."""
    return experiment.sampling.stop == "dominated" and spec.cell is not None and not spec.mates


def output(spec: Spec, store: str | Path) -> Output:
    """The file that says so, which all steps of the cell read."""
    return spec.output(store, "look", "stopped.json", "samples")


def read(experiment: Experiment, spec: Spec, store: str | Path) -> Stopped | None:
    """What was found; None of a cell that draws all of its images, or did not stop yet."""
    if not may(experiment, spec) or not output(spec, store).finished():
        return None
    told = records.read(output(spec, store).path, dict, images=int, by=str)
    return Stopped(told["images"], told["by"])


def seen(experiment: Experiment, spec: Spec, store: str | Path) -> Spec:
    """The spec of the images that a cell is judged by: of all, or of those until it stopped."""
    found = read(experiment, spec, store)
    return spec.cut(found.images) if found else spec


def words(found: Stopped, experiment: Experiment) -> str:
    """What a row says of it."""
    drawn = f"stopped at {found.images} of {experiment.sampling.images} images"
    return f"{drawn}, dominated by {found.by}; its Fréchet distances are of as many and not compared"

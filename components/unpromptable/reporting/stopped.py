"""Cells that stopped drawing, since another is sure to dominate them (sampling.stop), and so are measured by
the images until then; for as long as that other is of the run as it was then.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from unpromptable.planning import spec as planned
from unpromptable.planning.experiment import Experiment
from unpromptable.planning.spec import Spec
from unpromptable.storage import files, records
from unpromptable.storage.place import Output


@dataclass(frozen=True)
class Stopped:
    """After how many images a cell stopped, and the cell that dominates it: its name, and the identity of its
    images.
    """

    images: int
    by: str
    key: str


def may(experiment: Experiment, spec: Spec) -> bool:
    """Whether a cell is compared with others while it draws: those whose line of a table is theirs alone."""
    return experiment.sampling.stop == "dominated" and spec.cell is not None and not spec.mates


def output(spec: Spec, store: str | Path) -> Output:
    """The file that says so, which all steps of the cell read."""
    return spec.output(store, "look", "stopped.json", "samples")


def read(experiment: Experiment, spec: Spec, store: str | Path) -> Stopped | None:
    """What was found; None of a cell that draws all of its images, did not stop yet, or stopped for another
    that left the run or changed since.
    """
    if not may(experiment, spec) or not output(spec, store).finished():
        return None
    told = records.read(output(spec, store).path, dict, images=int)
    plan = files.fetch(Path(store) / planned.FILE)
    name = _names(plan, plan.stat().st_mtime_ns, plan.stat().st_ino).get(told.get("key"))
    return Stopped(told["images"], name, told["key"]) if name else None


@lru_cache(maxsize=1)
def _names(plan: Path, changed: int, file: int) -> dict[str | None, str]:
    """The names of a run's cells by the identity of their images, read once until the plan changes."""
    return {cell.keys["samples"]: cell.name for cell in planned.read(plan.parent).cells}


def seen(experiment: Experiment, spec: Spec, store: str | Path) -> Spec:
    """The spec of the images that a cell is judged by: of all, or of those until it stopped."""
    found = read(experiment, spec, store)
    return spec.cut(found.images) if found else spec


def words(found: Stopped, experiment: Experiment) -> str:
    """What a row says of it."""
    drawn = f"stopped at {found.images} of {experiment.sampling.images} images"
    return f"{drawn}, dominated by {found.by}; its Fréchet distances are of as many and not compared"

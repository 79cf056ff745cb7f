"""Cells that were judged by the injection test and not sampled, since they do not forget (sampling.when)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unpromptable.planning.spec import Spec
from unpromptable.scoring.estimates import Estimate
from unpromptable.scoring.verdict import THRESHOLD
from unpromptable.storage import files, records
from unpromptable.storage.place import Output

STATUS = "unsampled"  # of a row


@dataclass(frozen=True)
class Decision:
    """Whether a cell's images are drawn. also: the folders of cells that this one draws and scores too."""

    draw: bool
    also: tuple[str, ...] = ()


ALWAYS = Decision(True)


def output(spec: Spec, store: str | Path) -> Output:
    """The file of a cell's decision, which all pods of the cell read."""
    return spec.output(store, "judge", "decision.json", "decision")


def decision(spec: Spec, store: str | Path) -> Decision | None:
    """What was decided; None where nothing was yet."""
    made = output(spec, store)
    if not made.finished():
        return None
    told = records.read(made.path, dict, draw=bool, also=list)
    return Decision(told["draw"], tuple(told["also"]))


def judged(spec: Spec, store: str | Path) -> dict[str, Estimate] | None:
    """SSCD and what is measured with it, by name; None where the injection test was not judged yet."""
    path = spec.place(store).path("metrics/sscd.json")
    if not files.finished(path, spec.keys["metric sscd"]):
        return None
    return {k: Estimate(**v) for k, v in records.read(path).items()}


def of_line(sscds: Sequence[tuple[str, float]]) -> float:
    """The SSCD of a line of a table, whose cells are (target, SSCD): the mean over targets of the mean over
    each one's training seeds.
    """
    found: dict[str, list[float]] = {}
    for target, sscd in sscds:
        found.setdefault(target, []).append(sscd)
    means = [sum(of) / len(of) for of in found.values()]
    return sum(means) / len(means)


def reason(sscds: Sequence[tuple[str, float]]) -> str:
    """Why cells have no images, by (target, SSCD) of all that make a line of a table."""
    mean = of_line(sscds)
    if mean < THRESHOLD:
        return f"not sampled: a target is not forgotten, SSCD up to {max(s for _, s in sscds):.2f}"
    return f"not sampled: does not forget, SSCD {mean:.2f}"

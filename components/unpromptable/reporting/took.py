"""What each step of a cell took, over all attempts at it, and the share that its operations alone need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unpromptable.planning import cost
from unpromptable.planning import spec as planned
from unpromptable.planning.experiment import Experiment
from unpromptable.planning.spec import Spec
from unpromptable.storage import meter, once
from unpromptable.storage.meter import Spent
from unpromptable.storage.place import SHARED

from .row import Row, Took

TITLES = ("seconds", "GPU-seconds", "images/s", "memory", "GPU memory", "share of the floor", "tried again")


def of(
    experiment: Experiment, spec: Spec, store: str | Path, judged_by: Spec | None = None
) -> dict[str, Took]:
    """By step, in the order of the steps; what was made of other inputs or settings is left out.

    judged_by: the spec of the images that it is judged by, where it stopped before it had all. Such a cell's
    images are not counted, as it has no rate.
    """
    found: dict[str, list[Spent]] = {}
    keys = {*spec.keys.values(), *(judged_by or spec).keys.values()}
    for one in meter.spent(spec.place(store), keys):
        found.setdefault(one.step, []).append(one)
    if judged_by is not None and judged_by is not spec:
        return {step: _step(found[step], None, None) for step in _in_order(found)}
    images, floor = _images(experiment, spec), _floor(experiment, spec, "inject" in found)
    return {step: _step(found[step], images.get(step), floor.get(step)) for step in _in_order(found)}


def shared(store: Path) -> dict[str, Took]:
    """What the steps took that all cells share; nothing where no run is planned."""
    if not planned.planned(store):
        return {}
    run = planned.read(store, SHARED)
    return of(run.experiment, run.shared, store)


def together(each: Sequence[dict[str, Took]]) -> dict[str, Took]:
    """Several cells as one: sums, the greatest memory, and rates over all of the time."""
    steps = list(dict.fromkeys(step for one in each for step in one))
    return {step: _sum([one[step] for one in each if step in one]) for step in steps}


def table(lines: Sequence[Row], common: dict[str, Took]) -> tuple[list[str], list[list[str]]]:
    """Titles and lines, one for each step of each row; columns in which there is nothing are left out."""
    each = [("before", common), *((line.name, line.took) for line in lines)]
    told = [[name, step, *_words(t)] for name, steps in each for step, t in steps.items()]
    kept = [i for i in range(2 + len(TITLES)) if any(line[i] for line in told)]
    titles = ["", "step", *TITLES]
    return [titles[i] for i in kept], [[line[i] for i in kept] for line in told]


def _in_order(found: dict[str, list[Spent]]) -> list[str]:
    """The steps of a run in their order, and others after them."""
    known = [step for step in once.ORDER if step in found]
    return [*known, *(step for step in found if step not in known)]


def _words(t: Took) -> list[str]:
    rate = "" if t.images_per_second is None else f"{t.images_per_second:.3g}"
    share = "" if t.share is None else f"{100 * t.share:.2g} %"
    gpu = f"{t.gpu_seconds:.1f}" if t.gpu_seconds else "", size(t.gpu_memory) if t.gpu_memory else ""
    return [f"{t.seconds:.1f}", gpu[0], rate, size(t.memory), gpu[1], share, str(t.again or "")]


def size(number: int) -> str:
    """Bytes as people read them."""
    return f"{number / 2**30:.2f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"


def _step(attempts: list[Spent], images: int | None, flop: float | None) -> Took:
    seconds, gpu = sum(a.seconds for a in attempts), sum(a.gpu_seconds for a in attempts)
    return Took(
        seconds=round(seconds, 3),
        gpu_seconds=round(gpu, 3),
        memory=max(a.memory for a in attempts),
        gpu_memory=max(a.gpu_memory for a in attempts),
        again=len(attempts) - len({a.output for a in attempts}),
        images_per_second=images / seconds if images and seconds else None,
        share=flop / ((gpu or seconds) * cost.RATE * 1e12) if flop and seconds else None,
    )


def _sum(parts: list[Took]) -> Took:
    seconds = sum(p.seconds for p in parts)
    # both are of the time, so that the longer step counts for more
    rate, share = (_mean(parts, name, seconds) for name in ("images_per_second", "share"))
    return Took(
        seconds=round(seconds, 3),
        gpu_seconds=round(sum(p.gpu_seconds for p in parts), 3),
        memory=max(p.memory for p in parts),
        gpu_memory=max(p.gpu_memory for p in parts),
        again=sum(p.again for p in parts),
        images_per_second=rate,
        share=share,
    )


def _mean(parts: list[Took], name: str, seconds: float) -> float | None:
    values = [getattr(p, name) for p in parts]
    if any(v is None for v in values) or not seconds:
        return None
    return sum(v * p.seconds for v, p in zip(values, parts)) / seconds


def _images(experiment: Experiment, spec: Spec) -> dict[str, int | None]:
    """How many images a step goes through: drawn, denoised, seen in updates, or compared.

    A training that may end before its last update is not counted.
    """
    drawn = experiment.sampling.images
    return {
        "unlearn": None if _open(spec) else spec.updates,
        "inject": len(spec.targets) * experiment.injection.draws,
        "sample": drawn * (2 if experiment.other_prompts else 1),
        "score": drawn,
    }


def _floor(experiment: Experiment, spec: Spec, apart: bool) -> dict[str, float | None]:
    """FLOP by step, None where not known. apart: whether the injection test was a step of its own.

    Of an edit there is none, since cells share it and only one of them did it.
    """
    known = {s.step: s.flop for s in cost.of(experiment, spec.cell, spec.targets)}
    known.pop("edit", None)
    if _open(spec):
        known.pop("unlearn", None)
    inject = known.get("inject")
    if not apart and "sample" in known and inject is not None and known["sample"] is not None:
        known["sample"] += inject
    return known


def _open(spec: Spec) -> bool:
    """Whether a cell's training may end before its last update."""
    return spec.cell is not None and bool(spec.cell.training.until)

"""Between the prefixes of a cell's images: is another that forgets sure to be better by now? (sampling.stop)

A cell is compared with what others have in the store at that moment, so where it stops may depend on who
was first. That none stops wrongly does not: the intervals hold for all cells and numbers of images at once
(`reporting.early`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from unpromptable.planning import shards
from unpromptable.planning import spec as planned
from unpromptable.planning.spec import Run, Shard, Spec
from unpromptable.reporting import early, stopped, unsampled
from unpromptable.reporting.early import Paired
from unpromptable.reporting.stopped import Stopped
from unpromptable.scoring.verdict import THRESHOLD
from unpromptable.storage import files, fingerprints, once, place, records
from unpromptable.storage.place import Output


def in_turn(run: Run, spec: Spec, store: str, draw: Callable[[Shard], Output]) -> None:
    """Draw a cell's shards one after another, and look at the others at prefixes that are not drawn past."""
    if not stopped.read(run.experiment, spec, store):
        files.clear(stopped.output(spec, store).path)  # of another that left the run or changed since
    drawn = [draw(run.shards[0])]
    for shard, following in zip(run.shards, run.shards[1:]):
        if not drawn[-1].finished() or stopped.read(run.experiment, spec, store):
            return
        if following.first in shards.prefixes(run.experiment.sampling):
            _look(run, spec, store, shard, drawn, following)
        if not stopped.read(run.experiment, spec, store):
            drawn.append(draw(following))


def _look(run: Run, spec: Spec, store: str, shard: Shard, drawn: list[Output], following: Shard) -> None:
    """Measure what was drawn, and note where the cell can stop; not where it was drawn on before."""
    if spec.output(store, "sample", following.file, "samples").finished():
        return
    for piece, made in zip(run.shards, drawn):
        pairs = _pairs(spec, store, piece)
        once.guarded(
            pairs, lambda path, bar, made=made, piece=piece: _measure(path, run, store, made.path, piece)
        )
    others = [
        o for o in planned.read(store).cells if o.folder != spec.folder and stopped.may(run.experiment, o)
    ]
    level = early.level(len(others) + 1)
    own = _paired(run, spec, store)
    if own is None:
        return
    for rival in others:
        if (other := _paired(run, rival, store)) is None:
            continue
        n = min(len(own.values["lpips"]), len(other.values["lpips"]))
        if early.dominates(other, own, n, level):
            found = Stopped(shard.first + shard.count, rival.name, rival.keys["samples"])
            told = json.dumps(asdict(found))
            return once.guarded(stopped.output(spec, store), lambda path, bar: path.write_text(told))


def _pairs(spec: Spec, store: str, shard: Shard) -> Output:
    """The file of LPIPS and SSIM of a shard's seeds."""
    of = [spec.keys["metric lpips"], spec.keys["metric ssim"], shard.first, shard.count]
    return spec.output(store, "look", f"pairs-{fingerprints.digest(of)[:16]}.json", "samples")


def _measure(path: Path, run: Run, store: str, made: Path, shard: Shard) -> None:
    from unpromptable import data

    before = data.load(place.shared(store).fetched("before.safetensors"), "samples")[0]["samples"]
    after = data.load(files.fetch(made), "samples")[0]["samples"]
    found = early.pairs(before[shard.first : shard.first + shard.count], after, run.experiment)
    path.write_text(json.dumps({k: v.tolist() for k, v in found.items()}))


def _paired(run: Run, spec: Spec, store: str) -> Paired | None:
    """A cell that forgets, with what is measured of its first images; None where that is nothing."""
    judged = unsampled.judged(spec, store)
    if judged is None or judged["sscd"].mean >= THRESHOLD:
        return None
    found: list[dict[str, list[float]]] = []
    for shard in run.shards:
        made = _pairs(spec, store, shard)
        if not made.finished():
            break
        found.append(records.read(made.path, dict, lpips=list, ssim=list))
    if not found:
        return None
    values = {k: np.array([v for part in found for v in part[k]]) for k in early.SIGNS}
    return Paired(spec.name, judged["sscd"].mean, values)

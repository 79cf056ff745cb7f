"""prepare: the base model is fetched and checked, and the real, forget and remember images are gathered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from unpromptable.models import device
from unpromptable.planning import spec as planned
from unpromptable.planning.spec import Run
from unpromptable.planning.stages import SHIPPED, check_unchanged
from unpromptable.storage import attempts, fingerprints, once, place

from .opened import opened


@opened
def prepare(experiment: str, store: str) -> str:
    """Real and forget images and the base model; returns the id of what all cells share.

    Where bad input stopped the run, an empty one.
    """
    start = lambda attempt: attempts.child(_prepare, (store,), attempt)
    conclude = lambda last: attempts.within(_prepare, (store,), last)
    return attempts.persist("prepare", place.shared(store).path(), start, conclude)


def _prepare(store: str) -> str:
    with once.Shared(store, "prepare") as this:
        if this.stopped:
            return ""
        run = planned.read(store, place.SHARED)
        with fingerprints.kept(Path(store) / fingerprints.FILE):
            check_unchanged(run.experiment, run.shared.targets, run.shared.keys["data"])
        output = lambda name, stage: run.shared.output(store, "prepare", name, stage)
        model = output("pretrained", "pretrained")
        once.make(model, lambda path, bar: _fetch(path, run))
        pictures = output("data.safetensors", "data")
        once.make(pictures, lambda path, bar: _collect(path, model.path, run, bar))
        return run.id(run.shared)
    return ""


def _fetch(path: Path, run: Run) -> None:
    source, family = run.experiment.model, run.experiment.family
    identity = family.fetch(source.source, path, source.revision, SHIPPED / source.name)
    family.check(path, run.experiment)
    (path / "source.json").write_text(json.dumps({"identity": identity}))
    family.ready(path, run.experiment)


def _collect(path: Path, pretrained: Path, run: Run, bar: Callable) -> None:
    from unpromptable import data
    from unpromptable.preparing import collect, remember_set

    e = run.experiment
    size, targets = e.family.pixels(pretrained, e), list(run.shared.targets)
    arrays, manifest = collect.collect(e.real, size, targets, e.remember.leave_out, e.pictures)
    arrays = {name: e.family.shown(pretrained, images) for name, images in arrays.items()}
    if e.remember.source == "model":
        drawn, told = remember_set.draw(e, pretrained, arrays["forget"], device.best(), bar)
        arrays, manifest = {**arrays, **drawn}, {**manifest, **told}
    else:
        arrays, manifest = remember_set.copies(e, arrays, manifest)
    data.save(path, arrays, manifest)

"""prepare: the base model is fetched and checked, and the real, forget and remember images are gathered."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable.models import device
from unpromptable.planning import spec as planned
from unpromptable.planning.experiment import Experiment
from unpromptable.planning.inputs import SHIPPED
from unpromptable.planning.spec import Run
from unpromptable.planning.stages import check_unchanged
from unpromptable.storage import arrays as storage
from unpromptable.storage import fingerprints, once, place

from . import warm_client
from .opened import opened


@opened
def prepare(experiment: str, store: str) -> str:
    """Real and forget images and the base model; returns the id of what all cells share.

    Where bad input stopped the run, an empty one.
    """
    told = place.shared(store).path()
    return str(warm_client.persisted(_prepare, (store,), store, told, "prepare"))


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
    from unpromptable.preparing import collect

    e = run.experiment
    size, targets = e.family.pixels(pretrained, e), list(run.shared.targets)
    with _scratch(path, "pictures") as scratch, _scratch(path, "shown") as again:
        arrays, manifest = collect.collect(e.real, size, targets, e.remember.leave_out, e.pictures, scratch)
        shown = functools.partial(e.family.shown, pretrained)
        arrays = {"real": _shown(shown, arrays["real"], again), "forget": shown(arrays["forget"])}
        data.save(path, *_remembered(e, arrays, manifest, pretrained, bar))


@contextmanager
def _scratch(path: Path, name: str) -> Iterator[Path]:
    """A file beside an output, for as long as that is made; what a killed process leaves of it goes with the
    output's.
    """
    scratch = path.with_name(f"{path.name}.{name}")
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def _shown(shown: Callable, images: np.ndarray, scratch: Path) -> np.ndarray:
    """Pictures as the model can show them; written to `scratch` where that changes any."""
    first = images[:1]
    if shown(first) is first:
        return images
    with storage.Scratch(scratch, images.shape[1:]) as rows:
        for part in storage.pieces(images):
            rows.add(shown(part))
        return rows.rows()


def _remembered(
    e: Experiment, arrays: dict[str, np.ndarray], manifest: dict[str, Any], pretrained: Path, bar: Callable
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and manifest with the remember set."""
    from unpromptable.preparing import remember_set

    if e.remember.source == "model":
        drawn, told = remember_set.draw(e, pretrained, arrays["forget"], device.best(), bar)
        return {**arrays, **drawn}, {**manifest, **told}
    return remember_set.copies(e, arrays, manifest)

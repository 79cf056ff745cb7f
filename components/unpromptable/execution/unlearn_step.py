"""unlearn: the surrogates of a cell, then the model fine-tuned until it has forgotten (Algorithm 1)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from unpromptable.models import device
from unpromptable.planning import spec as planned
from unpromptable.planning.spec import Run, Spec
from unpromptable.storage import files, once, place

from . import gate
from .opened import opened
from .warm_client import warmed


@opened
@warmed
def unlearn(cell: str, store: str, unlearned_path: str) -> None:
    """Make a cell's surrogates and its model, which `unlearned_path` gets too."""
    run, spec = planned.one(store, cell)
    files.write_text(spec.place(store).path("cell.json"), spec.to_text())
    edit(spec, store)
    output = spec.output(store, "unlearn", "unlearned", "unlearned")
    once.guarded(output, lambda path, bar: _train(path, run, spec, store, bar), unlearned_path)


def edit(spec: Spec, store: str) -> None:
    """The surrogates of a cell, built once for all cells that share them."""

    def make(path: Path, bar: Callable) -> None:
        from unpromptable.editing import surrogates

        run, shared = planned.read(store), place.shared(store)
        pictures, model = shared.fetched("data.safetensors"), shared.fetched("pretrained")
        files.deliver(surrogates.obtain(run, spec, store, pictures, model, bar), str(path))

    once.guarded(spec.output(store, "edit", "surrogates.safetensors", "surrogates"), make)


def _train(path: Path, run: Run, spec: Spec, store: str, bar: Callable) -> None:
    from unpromptable import tracking
    from unpromptable.unlearning import training

    shared, folder = place.shared(store), path.parent / "training"
    surrogates = spec.place(store).fetched("surrogates.safetensors")
    images = training.Images.load(spec.cell, shared.fetched("data.safetensors"), surrogates)
    model = run.experiment.family.model.load(shared.fetched("pretrained"), device.best(), run.experiment)
    began = time.monotonic()
    asked = gate.judge(spec.cell, run.experiment, model, images.forget)
    with tracking.live(spec.run_id, folder / "history.jsonl"):
        summary = training.unlearn(spec.cell, model, images, folder, bar, asked)
    model.save(path)
    seconds = round(time.monotonic() - began, 2)
    (path / "training.json").write_text(json.dumps({**summary, "seconds": seconds}))
    (folder / "history.jsonl").replace(path.parent / "history.jsonl")
    files.publish(path.parent / "history.jsonl")

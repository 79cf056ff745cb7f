"""unlearn: the surrogates of a cell, then the model fine-tuned until it has forgotten (Algorithm 1)."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from unpromptable.models import device
from unpromptable.planning import spec as planned
from unpromptable.planning.spec import Spec
from unpromptable.storage import files, once, place

from . import gate, lookalikes
from .crew import Crew, Member
from .opened import opened
from .warm_client import warmed

log = logging.getLogger(__name__)


@opened
@warmed
def unlearn(cell: str, store: str, unlearned_path: str) -> None:
    """Make a cell's surrogates and its model, which `unlearned_path` gets too."""
    _, spec = planned.one(store, cell)
    files.write_text(spec.place(store).path("cell.json"), spec.to_text())
    edit(spec, store)
    assert spec.cell is not None  # the step is a cell's
    output, given = spec.output(store, "unlearn", "unlearned", "unlearned"), spec.cell.unlearned
    make = lambda path, bar: _take(path, given, store) if given else _train(path, spec, cell, store, bar)
    once.guarded(output, make, unlearned_path)
    if output.finished():
        files.remove(_training(output.path))


def _take(path: Path, given: str, store: str) -> None:
    """A model that was unlearned elsewhere, as if it had been trained here, and drawn as the base is. Raises
    ValueError where the two cannot be compared.
    """
    base, family = place.shared(store).fetched("pretrained"), planned.read(store).experiment.family
    others = family.beside(Path(given), base)
    shutil.copytree(given, path)
    if others:
        log.warning(
            "unlearned: %s is drawn by the base's scheduler; its own says %s", given, "; ".join(others)
        )
    family.take(path, base)
    (path / "training.json").write_text(json.dumps({"seconds": 0.0}))


def edit(spec: Spec, store: str) -> None:
    """The surrogates of a cell, built once for all cells that share them."""

    def make(path: Path, bar: Callable) -> None:
        from unpromptable.editing import surrogates

        run, shared = planned.read(store), place.shared(store)
        pictures, model = shared.fetched("data.safetensors"), shared.fetched("pretrained")
        files.deliver(surrogates.obtain(run, spec, store, pictures, model, bar), str(path))

    once.guarded(spec.output(store, "edit", "surrogates.safetensors", "surrogates"), make)


def _training(model: Path) -> Path:
    """Where a cell's training keeps its history, and the state that a stopped one continues from."""
    return model.parent / "training"


def _train(path: Path, spec: Spec, cell: str, store: str, bar: Callable) -> None:
    from unpromptable import tracking

    assert spec.cell is not None  # the step is a cell's
    made, shared = spec.place(store), place.shared(store)
    # here, since several processes would fetch them at once
    made.fetched("surrogates.safetensors"), shared.fetched("data.safetensors"), shared.fetched("pretrained")
    history = _training(path) / "history.jsonl"
    crew = Crew(_learner, (cell, store), most=spec.cell.training.batch)
    with tracking.live(spec.run_id, history), crew:
        summary, *_ = crew.answers([(path,)] * crew.start(), lambda _, *told: bar(*told))
    (path / "training.json").write_text(json.dumps(summary))
    files.write_text(path.parent / "history.jsonl", history.read_text())


def _learner(member: Member, cell: str, store: str) -> Callable:
    """What fine-tunes a cell's model in this process, or with the others of a crew; the first writes it."""
    from unpromptable.unlearning import together, training

    run, spec = planned.one(store, cell)
    made, shared = spec.place(store), place.shared(store)
    images = training.Images.load(
        spec.cell, shared.path("data.safetensors"), made.path("surrogates.safetensors")
    )
    images = lookalikes.marked(spec.cell, run.experiment, images)
    model = run.experiment.family.model.load(shared.path("pretrained"), device.best(), run.experiment)

    def learn(path: Path, tell: Callable) -> dict[str, Any]:
        began = time.monotonic()
        with together.group(*member) if member.number > 1 else nullcontext():
            writes, folder = together.first(), _training(path)
            # the others hear what the first finds
            asked = gate.judge(spec.cell, run.experiment, model, images) if writes else None
            told = tell if writes else None
            summary = training.unlearn(spec.cell, model, images, folder, told, asked)
            if writes:
                model.save(path)
        return {**summary, "seconds": round(time.monotonic() - began, 2)}

    return learn

"""score: the numbers of a cell, its row and its page; a failed cell has no numbers, and its row says why."""

from __future__ import annotations

import html
import json
from pathlib import Path

from unpromptable.models import device
from unpromptable.planning import spec as planned
from unpromptable.planning.code import whole
from unpromptable.planning.experiment import to_json
from unpromptable.planning.spec import Run, Spec
from unpromptable.reporting import rows, stopped
from unpromptable.reporting.row import OWN, WEIGHTS, Row
from unpromptable.storage import files, fingerprints, once, place, records

from . import injecting, report_step, sample_step
from .opened import opened
from .warm_client import warmed


@opened
@warmed
def score(cell: str, store: str, summary_to: str = "", page_to: str = "") -> dict[str, float]:
    """The numbers of a cell, by name; what the Kubeflow UI shows of it goes to the two files."""
    run, spec = planned.one(store, cell)
    decided = injecting.decided(run, spec, store)
    also = [planned.one(store, mate)[1] for mate in decided.also] if decided else []
    for one in [*([spec] if decided is None or decided.draw else []), *also]:
        _scored(run, one, store)
    found = rows.of(run.experiment, spec, store)
    _pages(found, spec, store, summary_to, page_to)
    return found.means()


def _scored(run: Run, spec: Spec, store: str) -> None:
    """A cell's row and its page, of the images that were drawn."""
    before, after = (sample_step.gather(run, one, store) for one in (run.shared, spec))
    spec = stopped.seen(run.experiment, spec, store)
    output = spec.output(store, "score", "row.json", "row")
    once.guarded(output, lambda path, bar: _row(path, run, spec, store, before, after))
    found = rows.of(run.experiment, spec, store)
    if found.done and not _shown(run, spec, store, found):
        report_step.page(run.experiment, found, store, _page_key(run, found))


def scored(run: Run, spec: Spec, store: str) -> bool:
    """Whether a cell's row and its page are there."""
    found = rows.of(run.experiment, spec, store)
    return found.done and _shown(run, spec, store, found)


def _shown(run: Run, spec: Spec, store: str, row: Row) -> bool:
    return files.finished(spec.place(store).path("page.html"), _page_key(run, row))


def _row(path: Path, run: Run, spec: Spec, store: str, before: Path, after: Path) -> None:
    from unpromptable.scoring import evidence, measured

    shared, mine = place.shared(store), spec.place(store)
    unlearned = mine.fetched("unlearned")
    models = evidence.Models(run.experiment, shared.fetched("pretrained"), unlearned, device.best())
    surrogates = mine.fetched("surrogates.safetensors")
    artifacts = evidence.Artifacts(shared.fetched("data.safetensors"), before, after, surrogates)
    load = lambda: evidence.load(spec.cell, run.experiment, artifacts, shared.path(), models)
    keys = {k.removeprefix("metric "): v for k, v in spec.keys.items() if k.startswith("metric ")}
    values = measured.measure(run.experiment, artifacts, load, mine.path(), keys, OWN)
    summary = records.read(unlearned / "training.json", dict, seconds=float)
    seconds = {"unlearn": summary["seconds"], **values["seconds"]}
    inputs = {**values["inputs"], WEIGHTS: fingerprints.weights(unlearned)}
    row = rows.finished(run.experiment, spec, store, {**values, "seconds": seconds, "inputs": inputs})
    path.write_text(json.dumps(row.to_json(), indent=1))
    report_step.page(run.experiment, row, store, _page_key(run, row))


def _page_key(run: Run, row: Row) -> str:
    """The identity of a cell's page: all that it says but times, and the code that says it."""
    said = {k: v for k, v in row.to_json().items() if k != "took"}
    return fingerprints.digest([said, to_json(run.experiment), whole()])


def _pages(found: Row, spec: Spec, store: str, summary_to: str, page_to: str) -> None:
    from unpromptable.reporting.reports import markdown

    for name, to in (("page.md", summary_to), ("page.html", page_to)):
        page = spec.place(store).fetched(name)
        if to and page.is_file():
            files.deliver(page, to)
        elif to:
            told = f"{found.name}: {found.error}"
            said = html.escape(told) if name == "page.html" else markdown.words(told)
            files.write_text(Path(to), said)

"""Records that are none: rows, marks and states spoilt by chance, each read or refused in one line."""

import io
import json
import os
import shutil

import pytest
from malformed import room, told, tried, with_header  # noqa: F401  (room is a fixture)
from rich.console import Console
from small_run import run

from unpromptable import data
from unpromptable.execution import parts, report_step
from unpromptable.execution.purging import found as purging
from unpromptable.planning import spec as planned
from unpromptable.reporting import row, rows
from unpromptable.storage import attempts, files, fingerprints, inventory, lease, once, progress

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A finished run, and what runs leave that were stopped: a lease, a failure, attempts, a resume state."""
    import torch
    from ddpm_small import model

    from unpromptable.planning import plugins
    from unpromptable.unlearning import noting, states

    os.environ["MLFLOW_TRACKING_URI"] = "nowhere://x"
    store = tmp_path_factory.mktemp("ended")
    run(store)
    del os.environ["MLFLOW_TRACKING_URI"]
    cell = planned.read(store).cells[0]
    with lease.Lease(store / cell.folder / "row.json"):
        pass
    (store / cell.folder / once.NOTE).write_text(json.dumps({"step": "score", "error": "x", "again": True}))
    (store / cell.folder / attempts.NOTE).write_text(json.dumps(["score: killed; ran again, 1 of 2"]))
    parts.note(store, parts.Part(2, 2, "ab"), "planned")
    small = model()
    optimizer = torch.optim.AdamW(small.trained(), lr=1e-3)
    small.predict(torch.zeros(1, 3, 8, 8), torch.zeros(1, dtype=torch.long)).sum().backward()
    optimizer.step()
    states.save(store / "training", small, optimizer, 1, noting.Noting(plugins.make("method", "naive"), 2))
    (store / "training" / states.HISTORY).write_text('{"step": 1}\n')
    return store


RECORDS = (
    *("row.json", "rows.json", "groups.json", ".row.json.done", ".unlearned.done", ".data.safetensors.done"),
    *(
        "experiment.json",
        "progress.jsonl",
        "fingerprints.json",
        ".row.json.lease-1",
        "failed.json",
        "again.json",
    ),
    *("history.jsonl", "ab-2-of-2.json", "cell.json", "tracking.json", "training.json"),
)
ARTIFACTS = ("resume.safetensors", "data.safetensors", "before.safetensors", "surrogates.safetensors")


def spoil_record(chance, store):
    """Spoil one record of a run, and where a mark says what it marks, sometimes the mark to fit."""
    found = [p for p in sorted(store.rglob("*")) if p.is_file()]
    path = chance.choice([p for p in found if p.name in (RECORDS if chance.random() < 0.8 else ARTIFACTS)])
    content = path.read_bytes()
    path.unlink()  # the template's file is linked here
    if path.suffix == ".jsonl":
        lines = content.splitlines() or [b"{}"]
        lines[chance.randrange(len(lines))] = chance.spoilt_json(lines[0])
        path.write_bytes(b"\n".join(lines) + b"\n")
    elif path.name in RECORDS:
        path.write_bytes(chance.spoilt_json(content))
    else:
        path.write_bytes(content)
        chance.choice([with_header, lambda c, p: p.write_bytes(c.spoilt_bytes(content))])(chance, path)
    mark = path.with_name(f".{path.name}.done")
    if mark.is_file() and chance.random() < 0.7:
        key = json.loads(mark.read_text()).get("key")
        mark.unlink()
        mark.write_text(json.dumps({"key": key}))  # as an earlier version's: it says nothing of the content
    if path.name == ".row.json.lease-1" and chance.random() < 0.5:
        path.rename(
            path.with_name(
                chance.choice([".row.json.lease-²", ".row.json.lease-", f".row.json.lease-{9**99}"])
            )
        )


def readers(store, chance):
    """Everything that reads a run's records."""
    import torch
    from ddpm_small import model

    from unpromptable.planning import plugins
    from unpromptable.unlearning import noting, states

    cells = [p for p in sorted((store / "cells").iterdir()) if p.is_dir()]

    def held():
        with lease.Lease(cells[0] / "row.json") as mine:
            mine.check()

    def known():
        with fingerprints.kept(store / "fingerprints.json"):
            fingerprints.of(store / "experiment.json")

    def resumed():
        small = model()
        optimizer = torch.optim.AdamW(small.trained(), lr=1e-3)
        states.resume(store / "training", small, optimizer, noting.Noting(plugins.make("method", "naive"), 2))

    def watched():
        reader, lines = (
            progress._Reader(store / "progress.jsonl"),
            progress._Lines(Console(file=io.StringIO())),
        )
        reader.at = 0
        for one in reader.fresh():
            lines.take(one)

    def marks():
        for mark in sorted(store.rglob(".*.done")):
            (
                files.finished(mark.with_name(mark.name[1:-5]), "k"),
                inventory.key(mark.with_name(mark.name[1:-5])),
            )

    calls = {
        "rows": lambda: rows.collect(str(store)),
        "read_rows": lambda: row.read_rows(store / "rows.json"),
        "noted": lambda: [once.noted(spec.place(store)) for spec in planned.read(store).cells],
        "notes": lambda: [attempts.notes(cell) for cell in cells],
        "left": lambda: [lease.left(cell) for cell in cells],
        "alive": lambda: purging.at_work(store),
        "lease": held,
        "fingerprints": known,
        "resume": resumed,
        "watch": watched,
        "marks": marks,
        "purge": lambda: purging.look(store, ()),
        "parts": lambda: parts.at_work(store, parts.Part(1, 2, "ab")),
        "peek": lambda: [data.peek(p) for p in store.rglob("data.safetensors")],
        "load": lambda: [data.load(p) for p in store.rglob("data.safetensors")],
    }
    if chance.random() < 0.03:
        calls["report"] = lambda: report_step.report(str(store), "small", "SUCCEEDED")
    return list(calls.items())


def linked(source, target):
    """A large file as a link, all else as a copy."""
    if source.endswith((".safetensors", ".png", ".html")):
        return os.link(source, target)
    return shutil.copy2(source, target)


def test_records_that_are_none_are_read_or_refused_in_one_line(room, ended, monkeypatch):
    monkeypatch.setattr(lease, "DEAD", 0.05)
    monkeypatch.setattr(lease, "LOOK", 0.01)
    given = room / "given"

    def make(chance):
        for old in given.iterdir():
            shutil.rmtree(old)
        store = given / "store"
        shutil.copytree(ended, store, copy_function=linked)
        spoil_record(chance, store)
        return readers(store, chance)

    wrong = tried("records", room, make)
    assert not wrong, told(wrong)

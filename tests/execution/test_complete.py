"""A run that is started again has no steps for cells that are finished, and has them for all others."""

import json
from pathlib import Path

import pytest
import small_run

from unpromptable.execution import complete, plan_step
from unpromptable.planning import spec
from unpromptable.storage import files

WHEN = small_run.TEXT.replace("sampling: {", "sampling: {when: forgets, ")


def left(store, text=small_run.TEXT):
    """The names of the cells that steps are started for."""
    found = plan_step.plan(text, "", {}, str(store), finished=False)
    return [spec.one(store, cell)[1].name for cell in found]


@pytest.fixture(scope="module", params=[small_run.TEXT, WHEN], ids=["always", "forgets"])
def run(request, tmp_path_factory):
    store = tmp_path_factory.mktemp("run")
    small_run.run(store, request.param)
    return store, request.param


def test_nothing_is_left_of_a_finished_run_and_it_is_told_of_each_cell(run):
    store, text = run
    (store / "progress.jsonl").unlink()
    assert left(store, text) == []
    told = map(json.loads, (store / "progress.jsonl").read_text().splitlines())
    found = {(e["cell"], e["kind"]) for e in told if e["step"] == "score"}
    assert found == {("Ours", "skipped"), ("Naive", "skipped")}


def test_a_cell_that_lost_something_is_left_alone_of_all(run):
    store, text = run
    (mine,) = [c for c in spec.read(store).cells if c.name == "Ours"]
    drawn = ["decision.json"] if text == WHEN else ["after.safetensors", "row.json", "page.html"]
    for name in ("surrogates.safetensors", "unlearned/training.json", "cell.json", *drawn):
        path = mine.place(store).path(name)
        kept = path.read_bytes()
        path.unlink()  # the other cell may have a link to the same file
        assert left(store, text) == ["Ours"], name
        path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        assert left(store, text) == ["Ours"], name
        path.write_bytes(kept)
        assert left(store, text) == [], name


def test_another_setting_leaves_its_cell(run):
    store, text = run
    other = text.replace("{name: Ours, editor: flip}", "{name: Ours, editor: flip, training: {lr: 2e-4}}")
    assert left(store, other) == ["Ours"] and left(store, text) == []


def test_what_lies_in_an_object_store_is_not_fetched_to_look_it_up(run, monkeypatch):
    store, _ = run
    planned = spec.read(store)
    monkeypatch.setattr(files, "address", lambda path: f"s3://bucket/{Path(path).name}")
    monkeypatch.setattr(complete, "_complete", lambda *_: pytest.fail("looked up"))
    assert complete.left(planned, list(planned.cells), str(store)) == list(planned.cells)

"""The steps of a request one pod after another: which attempt is next, and what it all comes to."""

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
from release_rows import BASE, row

from unpromptable.execution import answering, prepare_step, sample_step, whole
from unpromptable.planning import spec as planned
from unpromptable.releasing import base as bases
from unpromptable.releasing import certificate
from unpromptable.reporting import rows
from unpromptable.storage import files, once, place

REQUEST = """
name: letter
world: miniature
model: miniature
forget: ["0104-3"]
keep: miniature
attempts: 4
editors: [lookalike, neighbours]
settings: {networks.name: miniature}
"""
DIGEST = "0" * 64


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Where the base model was looked at, and brings the target back."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    begun(tmp_path / "store", monkeypatch)
    return tmp_path / "store"


def begun(folder, monkeypatch):
    """The same of a store's folder."""
    monkeypatch.setattr(prepare_step, "prepare", lambda text, store: f"letter/{place.SHARED}")
    monkeypatch.setattr(sample_step, "sample", lambda *a: None)
    answering._planned(
        answering.parse(REQUEST), [answering.attempts.first(answering.parse(REQUEST))], str(folder)
    )
    files.write_text(Path(folder) / answering.BASE, bases.told(BASE))


def failing(run, spec, store):
    """A training whose loss is not finite."""

    def build(path, bar):
        raise once.CellFailed("forget is nan at update 7; lower training.lr")

    once.guarded(spec.output(store, "unlearn", "unlearned", "unlearned"), build)


def passing(run, spec, store):
    """A model, and a row that passes every gate."""
    model, path = (spec.place(store).path(name) for name in ("unlearned", "row.json"))
    model.mkdir(parents=True)
    (model / "weights.bin").write_text(spec.name)
    files.finish(model, spec.keys["unlearned"])
    numbers = {k: asdict(e) for k, e in row().metrics.items()}
    values = {**numbers, "labels": {}, "surrogates": [], "seconds": {}, "inputs": {}}
    path.write_text(json.dumps(rows.finished(run.experiment, spec, store, values).to_json()))
    files.finish(path, spec.keys["row"])


def answered(store, monkeypatch, by_editor, pods=6):
    """What the attempts' pods trained, one after another."""
    trained = []

    def cell(cell, store):
        run, spec = planned.one(store, cell)
        trained.append(spec.name)
        by_editor[spec.name.partition(" ")[0]](run, spec, store)

    monkeypatch.setattr(whole, "cell", cell)
    for _ in range(pods):
        answering.attempt(REQUEST, str(store))
    return trained


def concluded(store, asked=REQUEST):
    with tempfile.TemporaryDirectory() as shown:
        answering.conclude(asked, str(store), DIGEST, f"{shown}/summary.md", f"{shown}/page.html")
    return certificate.read(Path(files.mirror(str(store))) / answering.RELEASE)


def test_an_attempt_that_failed_is_not_tried_again_and_the_next_one_is_released(store, monkeypatch):
    trained = answered(store, monkeypatch, {"lookalike": failing, "neighbours": passing})
    assert trained == ["lookalike x1", "neighbours x1"]
    told = concluded(store)
    assert (told["outcome"], told["attempt"]) == (certificate.RELEASED, "neighbours x1")
    assert (store / "release/model/weights.bin").read_text() == "neighbours x1"


def test_where_every_attempt_fails_the_reason_is_said_and_nothing_is_certified(store, monkeypatch):
    trained = answered(store, monkeypatch, {"lookalike": failing, "neighbours": failing})
    assert trained == ["lookalike x1", "neighbours x1"]
    with pytest.raises(once.Stopped, match="request letter: unlearn: forget is nan at update 7"):
        concluded(store)
    assert not (store / answering.RELEASE).exists()


def test_where_an_attempt_that_is_wanted_was_not_made_nothing_is_certified(store, monkeypatch):
    assert answered(store, monkeypatch, {"lookalike": lambda *a: None}, 1) == ["lookalike x1"]
    with pytest.raises(once.Stopped, match="attempt lookalike x1 did not finish; submit the request again"):
        concluded(store)
    assert not (store / answering.RELEASE).exists()


def test_an_attempt_whose_failure_may_pass_is_tried_again_by_the_pod_that_is_started_again(
    store, monkeypatch
):
    def unreached(run, spec, store):
        def build(path, bar):
            raise ConnectionError("the store does not answer")

        once.guarded(spec.output(store, "unlearn", "unlearned", "unlearned"), build)

    with pytest.raises(ConnectionError):
        answered(store, monkeypatch, {"lookalike": unreached}, 1)
    assert answered(store, monkeypatch, {"lookalike": passing}) == ["lookalike x1"]
    assert concluded(store)["outcome"] == certificate.RELEASED


def test_a_model_that_is_another_than_the_one_that_was_judged_is_not_released(store, monkeypatch):
    answered(store, monkeypatch, {"lookalike": passing})
    (model,) = store.glob("cells/*/unlearned")
    (model / "weights.bin").write_text("another's")
    with pytest.raises(ValueError, match="not the model that attempt lookalike x1 was judged by"):
        concluded(store)
    assert not (store / answering.RELEASE).exists()
    shutil.rmtree(model.parent)
    assert answered(store, monkeypatch, {"lookalike": passing}) == ["lookalike x1"]
    assert concluded(store)["outcome"] == certificate.RELEASED


def test_a_refusal_in_an_object_store_leaves_no_model_of_an_earlier_release(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    address, far = f"file://{tmp_path}/bucket", tmp_path / "bucket/release"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    begun(files.mirror(address), monkeypatch)
    asked = REQUEST.replace("attempts: 4", "attempts: 1")
    assert answered(address, monkeypatch, {"lookalike": passing}) == ["lookalike x1"]
    concluded(address, asked)
    assert certificate.verify(far, None) == [] and (far / "model/weights.bin").is_file()
    concluded(address, asked + "gates: {lpips: 0.01}")
    assert certificate.read(far)["outcome"] == certificate.REFUSED
    assert certificate.verify(far, None) == [] and not (far / "model").exists()


def test_a_base_model_that_brings_no_target_back_is_certified_without_an_attempt(store, monkeypatch):
    gone = tuple(e.__class__(0.1, 0.05, 0.15, 8) for e in BASE.ceilings)
    low = bases.Base(gone, 0.25, 0, BASE.test, kept=BASE.ceilings)
    (store / answering.BASE).write_text(bases.told(low))
    assert answered(store, monkeypatch, {}) == []
    assert concluded(store)["outcome"] == certificate.NOTHING

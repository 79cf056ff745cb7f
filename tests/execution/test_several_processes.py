"""Steps whose work two processes share: the very images of one, and a kill after which they resume."""

import json
import multiprocessing
import threading
import time

import numpy as np
import pytest
import small_run

from unpromptable import data
from unpromptable.execution import plan_step, prepare_step, sample_step, unlearn_step
from unpromptable.models import device
from unpromptable.planning import spec as planned
from unpromptable.storage import attempts, once

TEXT = small_run.TEXT.replace(
    "images: 4, steps: 2, batch: 4, shards: 2", "images: 18, steps: 2, batch: 8, shards: 1"
)
TEXT = TEXT.replace("draws: 2", "draws: 10").replace("batch: 2, save_every: 1", "batch: 4, save_every: 5")


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A planned and prepared run, as its store's text and folder, and its cells."""
    store = tmp_path_factory.mktemp("several") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        cells = plan_step.plan(TEXT, "", {"training.steps": 40}, str(store))
        return str(store), prepare_step.prepare(TEXT, str(store)), cells


def drawn(monkeypatch, ready, number):
    """The base model's artifact, drawn by so many processes."""
    store, shared, _ = ready
    run, spec = planned.one(store, shared)
    output = sample_step._output(spec, store, run.shards[0])
    for made in (output, sample_step.images_of(run, spec, store)):
        made.path.unlink(missing_ok=True)
    monkeypatch.setenv(device.VARIABLE, str(number))
    sample_step.sample(shared, store, 0, 1)
    return data.load(output.path)


def test_two_processes_draw_the_very_images_of_one_and_denoise_the_same(monkeypatch, ready):
    one, told = drawn(monkeypatch, ready, 1)
    two, said = drawn(monkeypatch, ready, 2)
    assert {k: len(v) for k, v in one.items()} == {"samples": 18, "injected/0012-3": 10}
    assert told["sha256"] == said["sha256"] and told["seeds"] == said["seeds"] == list(range(18))
    assert list(one) == list(two) and all(np.array_equal(one[k], two[k]) for k in one)
    bars = [json.loads(line) for line in open(f"{ready[0]}/progress.jsonl")]
    bars = [b for b in bars if b["kind"] == "progress" and b["step"] == "sample 0"]
    assert all(0 < b["done"] <= b["total"] for b in bars) and bars[-1]["done"] == bars[-1]["total"]


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others_and_the_next_attempt_resumes(monkeypatch, ready):
    store, _, cells = ready
    cell = next(c for c in cells if "ours" in c)
    spec = planned.one(store, cell)[1]
    monkeypatch.setenv(device.VARIABLE, "2")
    monkeypatch.setattr(attempts, "PAUSE", 0.1)
    ended = []

    def kill():
        while not (found := list(spec.place(store).path("training").glob("resume.*"))):
            time.sleep(0.01)
        multiprocessing.active_children()[0].kill()
        ended.append(found)

    thread = threading.Thread(target=kill)
    thread.start()
    unlearn_step.unlearn(cell, store, "")
    thread.join()
    assert ended and not multiprocessing.active_children() and once.noted(spec.place(store)) is None
    [told] = attempts.notes(spec.place(store).path())
    assert "of 2 killed, most likely for memory" in told and "ran again in its pod, 1 of 2" in told
    lines = [json.loads(x) for x in spec.place(store).path("history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 41))

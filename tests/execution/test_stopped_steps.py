"""What stops a step is told once, where people look: in the engine, the report and the sweep's run."""

import errno
import json

import pytest
from test_steps import make

from unpromptable.execution import plan_step, prepare_step, report_step
from unpromptable.planning import spec as planned
from unpromptable.reporting import rows
from unpromptable.storage import once


def shared(tmp_path, error, step="prepare"):
    """One attempt at a shared step that ends with `error`: whether it began, and the error it ended with."""
    began = []
    try:
        with once.Shared(str(tmp_path), step) as this:
            if not this.stopped:
                began.append(step)
                if error:
                    raise error
    except Exception as raised:
        return bool(began), raised
    return bool(began), None


def events(tmp_path):
    return [
        e["text"]
        for e in map(json.loads, (tmp_path / "progress.jsonl").read_text().splitlines())
        if e["kind"] == "failed"
    ]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("real: bad.png is\ntruncated"),
        FileNotFoundError("forget: a.png"),
        PermissionError(13, "denied"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_bad_input_of_a_shared_step_ends_it_well_is_told_once_and_not_tried_again(tmp_path, error):
    assert shared(tmp_path, error) == (True, None)
    assert [shared(tmp_path, error) for _ in range(2)] == [(False, None)] * 2
    assert (
        len(events(tmp_path)) == 1
        and "\n" not in events(tmp_path)[0]
        and once.failure(tmp_path)["error"] == events(tmp_path)[0]
    )


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("hub: no route"),
        RuntimeError("CUDA out of memory"),
        KeyError("a bug"),
        OSError(errno.EIO, "Input/output error"),
    ],
)
def test_another_fault_of_a_shared_step_is_raised_for_the_engine_and_told_once(tmp_path, error):
    for _ in range(2):
        assert shared(tmp_path, error) == (True, error)
    assert len(events(tmp_path)) == 1 and once.failure(tmp_path)["again"]
    assert shared(tmp_path, None) == (True, None) and once.failure(tmp_path) is None


def test_what_stopped_a_shared_step_stands_in_the_report_once_and_in_the_sweeps_run(
    tmp_path, monkeypatch, pictures
):
    from PIL import Image

    from unpromptable import tracking

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "real").mkdir()
    for i in range(3):
        Image.fromarray(pictures[i]).save(tmp_path / "real" / f"{i}.png")
    (tmp_path / "real" / "1.png").write_bytes((tmp_path / "real" / "1.png").read_bytes()[:100])
    where, text = (
        str(tmp_path / "run"),
        (
            f"name: t\nreal: {tmp_path}/real\nmodel: {{source: miniature}}\nnetworks: miniature\nforget:"
            " [0.png]\ncells:\n- {name: A, editor: flip}\n- {name: B, method: naive, editor: flip}\n"
        ),
    )
    cells = plan_step.plan(text, "", {}, where)
    assert len(cells) == 2 and prepare_step.prepare(text, where) == ""
    later = []
    make(later, where, planned.read(where, cells[0]).cells[0])
    assert later == []
    with pytest.raises(RuntimeError, match="prepare: .*1.png"):
        report_step.stop(where, text)
    report_step.report(where, text, "FAILED")
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("1.png") == 1 and "did not run, since prepare failed" in page
    client = tracking.client(where)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    sweep = next(r for r in runs if tracking.PARENT not in r.data.tags)
    assert "1.png" in sweep.data.tags["error"] and {r.info.status for r in runs} == {"FAILED"}
    (tmp_path / "real" / "1.png").unlink()
    plan_step.plan(text, "", {}, where)
    assert once.failure(where) is None


def test_a_file_that_the_plan_does_not_find_is_told_in_a_report_of_all_its_cells(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    where, text = str(tmp_path), "name: t\nforget: [nowhere.png]\ncells:\n- {name: A, editor: flip}\n"
    assert plan_step.plan(text, "", {}, where) == [] and prepare_step.prepare(text, where) == ""
    report_step.report(where, text, "FAILED")
    page = (tmp_path / "report.html").read_text()
    assert page.count("nowhere.png is neither") == 1 and [r.status for r in rows.collect(where)] == ["failed"]


def test_an_experiment_that_cannot_be_read_is_told_in_the_report(tmp_path):
    where = str(tmp_path)
    (tmp_path / "experiment.json").write_text("{}")  # an earlier run's
    assert plan_step.plan("name: t\nforget: ['0012-3']\nsamplng: {}\n", "", {}, where) == []
    report_step.report(where, "", "FAILED", str(tmp_path / "page"))
    assert (
        "samplng" in (tmp_path / "page").read_text()
        and json.loads((tmp_path / "rows.json").read_text()) == []
    )


@pytest.mark.parametrize(
    "where, experiment, said",
    [
        ("{name}", "tabel2", "tabel2 is neither a file nor one that ships"),
        ("nowhere://bucket/{name}", "demo", "nowhere://bucket/demo cannot be used"),
    ],
)
def test_a_run_whose_store_cannot_be_told_shows_why_on_its_report(tmp_path, where, experiment, said):
    where = where if "://" in where else f"{tmp_path}/{where}"
    report_step.report(where, experiment, "FAILED", str(tmp_path / "page"))
    assert said in (tmp_path / "page").read_text()
    with pytest.raises((ValueError, OSError), match="neither a file|cannot be used"):
        report_step.report(where, experiment, "FAILED")

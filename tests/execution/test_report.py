"""How a run is said to have ended: by its rows, whatever state the engine hands over."""

import json

import numpy as np
import pytest

from unpromptable import data, steps, tracking
from unpromptable.execution import report
from unpromptable.planning import plan
from unpromptable.planning.experiment import to_json
from unpromptable.reporting import rows
from unpromptable.storage import store

TEXT = "name: t\nforget: ['0012-3']\ncells:\n- {name: A, editor: flip}\n- {name: B, method: naive}\n"
MLMD = (
    "UNKNOWN",
    "NEW",
    "RUNNING",
    "COMPLETE",
    "FAILED",
    "CACHED",
    "CANCELED",
)  # metadata_store.proto, Execution.State
KFP = (
    "RUNTIME_STATE_UNSPECIFIED",
    "PENDING",
    "SUCCEEDED",
    "SKIPPED",
    "CANCELING",
    "PAUSED",
)  # run.proto; SUCCEEDED and FAILED also of the local runner
STATES = (*MLMD, *KFP, "", None)


@pytest.fixture
def where(tmp_path, monkeypatch):
    """A planned sweep with MLflow runs, without results."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    resolved = plan.resolve(TEXT)
    specs = resolved.cell_specs()
    (tmp_path / "experiment.json").write_text(
        json.dumps({**to_json(resolved.experiment), "cells": specs, "key": resolved.key})
    )
    tracking.open_runs(str(tmp_path), "t", "sweep", [rows.flat(s) for s in specs])
    return tmp_path


def finish(where, spec):
    """A cell's row and pictures as `score` leaves them."""
    pictures = np.zeros((12, 8, 8, 3), np.uint8)
    data.save(
        where / "shared" / "data.safetensors",
        {"real": pictures, "forget": pictures[:1]},
        {"forget_names": ["0012-3"], "names": [], "removed": []},
    )
    folder = where / spec["folder"]
    for path in (where / "shared" / "before.safetensors", folder / "after.safetensors"):
        data.save(path, {"samples": pictures, "injected/0012-3": pictures[:4]}, {"seeds": list(range(12))})
    data.save(folder / "surrogates.safetensors", {"images": pictures[:1]}, {"targets": ["0012-3"]})
    value = lambda k: {"mean": k, "low": k - 0.1, "high": k + 0.1, "n": 12}
    numbers = {"sscd": 0.2, "lpips": 0.3, "ssim": 0.7, "fid_pre": 0.3, "fid_real": 0.3, "sscd_ceiling": 0.95}
    row = {
        **rows.head(spec),
        "status": "done",
        "error": None,
        "labels": {"sscd": "a", "lpips": "b", "fid": "c"},
        "surrogates": [],
        "seconds": {"unlearn": 1.0},
        "inputs": {},
        **{k: value(v) for k, v in numbers.items()},
    }
    path = store.place(str(where), spec, "row.json")
    store.write_text(path, json.dumps(row))
    store.finish(path, spec["row_key"])
    (folder / "unlearned").mkdir()
    (folder / "unlearned" / "w.txt").write_text("w")


def specs(where):
    return json.loads((where / "experiment.json").read_text())["cells"]


def last_step(where, state, tmp_path, part=""):
    """The exit task as KFP's executor runs it: its input as recorded of KFP 2.17, with another state."""
    from kfp.dsl import executor

    page = tmp_path / "page.html"
    status = {
        "error": {},
        "pipelineJobResourceName": "ablation-sweep-x7k2p",
        "pipelineTaskName": "sweep",
        **({} if state is None else {"state": state}),
    }
    given = {
        "inputs": {
            "parameterValues": {"experiment": "t", "store": str(where), "part": part, "status": status}
        },
        "outputs": {
            "artifacts": {
                "page": {
                    "artifacts": [
                        {
                            "name": "page",
                            "type": {"schemaTitle": "system.HTML"},
                            "uri": str(page),
                            "metadata": {},
                        }
                    ]
                }
            },
            "outputFile": str(tmp_path / "output.json"),
        },
    }
    executor.Executor(executor_input=given, function_to_execute=steps.report.python_func).execute()
    return page.read_text()


def ends(where):
    client = tracking._client(str(where))
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return {r.info.run_name: r.info.status for r in runs}


def test_a_sweep_whose_rows_are_all_done_succeeded_whatever_state_is_handed_over(where, tmp_path):
    for spec in specs(where):
        finish(where, spec)
    for state in STATES:
        assert (
            "did not succeed" not in last_step(where, state, tmp_path)
            and "did not succeed" not in (where / "report.md").read_text()
        ), state
        assert ends(where) == {"t": "FINISHED", "A": "FINISHED", "B": "FINISHED"}, state


def test_a_sweep_with_a_failed_cell_failed_whatever_state_is_handed_over(where, tmp_path):
    first, second = specs(where)
    finish(where, first)
    store.write_text(
        store.place(str(where), second, "failed.json"),
        json.dumps({"step": "unlearn", "error": "remember is nan"}),
    )
    for state in STATES:
        assert (
            "did not succeed" in last_step(where, state, tmp_path)
            and "remember is nan" in (where / "report.md").read_text()
        ), state
        assert ends(where) == {"t": "FAILED", "A": "FINISHED", "B": "FAILED"}, state


def test_only_a_state_that_says_so_ends_an_unfinished_sweep_as_terminated(where, tmp_path):
    finish(where, specs(where)[0])
    for state in STATES:
        stopped = state in ("CANCELED", "CANCELING", "RUNNING", "NEW")
        page = last_step(where, state, tmp_path)
        assert (
            ("was ended before all of its cells were" in page) == stopped == ("did not succeed" not in page)
        ), state
        assert ends(where) == {
            "t": "KILLED" if stopped else "FAILED",
            "A": "FINISHED",
            "B": "KILLED" if stopped else "FAILED",
        }, state


def test_a_run_without_rows_did_not_succeed():
    assert {report.verdict([], state) for state in STATES} == {"FAILED"}

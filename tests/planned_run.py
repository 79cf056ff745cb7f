"""A sweep that was planned, with MLflow runs, whose cells a test ends as it likes."""

import json

import numpy as np
import pytest

from unpromptable import data, steps, tracking
from unpromptable.planning import plan
from unpromptable.planning import spec as planned
from unpromptable.reporting import rows
from unpromptable.storage import files

TEXT = "name: t\nforget: ['0012-3']\ncells:\n- {name: A, editor: flip}\n- {name: B, method: naive}\n"


@pytest.fixture
def where(tmp_path, monkeypatch):
    """A planned sweep with MLflow runs, without results."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = plan.resolve(TEXT).run()
    (tmp_path / "experiment.json").write_text(run.to_text())
    told = lambda s: tracking.Tracked(s.slug, s.name, s.keys["unlearned"], rows.flat(run.experiment, s))
    tracking.open_runs(str(tmp_path), tracking.Sweep("t", "sweep", tuple(map(told, run.cells))))
    return tmp_path


def finish(where, spec):
    """A cell's row and pictures as `score` leaves them."""
    pictures = np.zeros((12, 8, 8, 3), np.uint8)
    data.save(
        where / "shared" / "data.safetensors",
        {"real": pictures, "forget": pictures[:1]},
        {"forget_names": ["0012-3"], "names": [], "removed": []},
    )
    folder = where / spec.folder
    for path in (where / "shared" / "before.safetensors", folder / "after.safetensors"):
        data.save(path, {"samples": pictures, "injected/0012-3": pictures[:4]}, {"seeds": list(range(12))})
    data.save(folder / "surrogates.safetensors", {"images": pictures[:1]}, {"targets": ["0012-3"]})
    value = lambda k: {"mean": k, "low": k - 0.1, "high": k + 0.1, "n": 12}
    numbers = {"sscd": 0.2, "lpips": 0.3, "ssim": 0.7, "fid_pre": 0.3, "fid_real": 0.3, "sscd_ceiling": 0.95}
    row = {
        **rows.head(planned.read(where).experiment, spec),
        "status": "done",
        "error": None,
        "labels": {"sscd": "a", "lpips": "b", "fid": "c"},
        "surrogates": [],
        "seconds": {"unlearn": 1.0},
        "inputs": {},
        **{k: value(v) for k, v in numbers.items()},
    }
    output = spec.output(where, "score", "row.json", "row")
    files.write_text(output.path, json.dumps(row))
    files.finish(output.path, output.key)
    (folder / "unlearned").mkdir()
    (folder / "unlearned" / "w.txt").write_text("w")


def specs(where):
    return planned.read(where).cells


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
    client = tracking.client(str(where))
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return {r.info.run_name: r.info.status for r in runs}

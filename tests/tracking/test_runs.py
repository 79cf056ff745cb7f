"""The runs of a sweep: one for itself, one child per cell, nothing twice, under the platform's own."""

from tracked_run import SWEEP, all_runs

from unpromptable import tracking
from unpromptable.tracking import runs as sweeps


def test_a_repeated_run_is_the_same_sweep_and_does_not_stay_open(tmp_path, monkeypatch):
    from unpromptable.execution import plan_step

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    text = (
        "name: t\nforget: ['0012-3']\ncells:\n- {name: Ours, editor: flip}\n- {name: Other, method: naive}\n"
    )
    first, again = (plan_step.plan(text, "", {}, str(tmp_path)) for _ in range(2))
    assert first == again
    assert tracking.settle(str(tmp_path), "SUCCEEDED")
    _, runs = all_runs(tmp_path)
    assert len(runs) == 3 and [r.info.status for r in runs if tracking.PARENT not in r.data.tags] == [
        "FINISHED"
    ]


def test_the_sweep_hangs_under_the_platforms_own_run_where_there_is_one_on_this_server(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = tracking.client(str(tmp_path))
    home = client.create_experiment("platform")
    root = client.create_run(home, run_name="kfp run").info.run_id
    task = client.create_run(home, run_name="plan", tags={tracking.PARENT: root}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", task), monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", home)
    ids = tracking.open_runs(str(tmp_path), SWEEP)
    sweep = client.get_run(ids["ours"]).data.tags[tracking.PARENT]
    assert (
        client.get_run(sweep).data.tags[tracking.PARENT] == root
        and client.get_run(sweep).info.experiment_id == home
    )
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    assert sweeps.outermost(client) is None

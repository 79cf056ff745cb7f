"""The runs of a sweep: one for itself, one child per cell, nothing twice, under the platform's own."""

from dataclasses import replace

from tracked_run import CELLS, SWEEP, all_runs, rows

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


def told(store, sweep):
    """The runs of a sweep's cells as the server has them, by slug."""
    return {slug: all_runs(store)[0].get_run(i) for slug, i in tracking.open_runs(str(store), sweep).items()}


def test_a_renamed_cell_keeps_its_run_under_its_new_name(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = told(tmp_path, SWEEP)
    renamed = (replace(CELLS[0], slug="plain", name="Plain"), CELLS[1])
    after = told(tmp_path, replace(SWEEP, cells=renamed))
    assert after["plain"].info.run_id == before["ours"].info.run_id and len(all_runs(tmp_path)[1]) == 3
    assert (after["plain"].info.run_name, after["plain"].data.tags[sweeps.CELL]) == ("Plain", "plain")


def test_cells_of_the_same_settings_have_a_run_and_a_version_each(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    one = told(tmp_path, SWEEP)["ours"].info.run_id
    twins = replace(SWEEP, cells=(replace(CELLS[0], slug="twin", name="Twin"), *CELLS))
    ids = tracking.open_runs(str(tmp_path), twins)
    assert ids["ours"] == one and len(set(ids.values())) == 3 == len(all_runs(tmp_path)[1]) - 1
    found, histories = rows(tmp_path)
    found.append(replace(found[0], name="Twin", cell="twin"))
    assert tracking.close(str(tmp_path), "demo", found, histories, [], "SUCCEEDED")
    client = tracking.client(str(tmp_path))
    version = lambda alias: client.get_model_version_by_alias("unpromptable-demo", alias)
    assert version("twin").run_id == ids["twin"] and version("ours").run_id == one
    swapped = (replace(CELLS[0], slug="twin", name="Twin"), CELLS[1], replace(CELLS[0], slug="b", name="B"))
    assert tracking.open_runs(str(tmp_path), replace(SWEEP, cells=swapped)) == {
        "twin": ids["twin"],
        "neggrad": ids["neggrad"],
        "b": one,
    }


def test_a_setting_that_a_continued_run_may_change_is_a_tag_that_changes_with_it(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for when in ("always", "forgets"):
        cells = tuple(replace(c, settings={**c.settings, "sampling.when": when}) for c in CELLS)
        run = told(tmp_path, replace(SWEEP, cells=cells))["ours"]
        assert run.data.tags["unpromptable.sampling.when"] == when and "sampling.when" not in run.data.params
        assert run.data.params["method"] == "surrogate"

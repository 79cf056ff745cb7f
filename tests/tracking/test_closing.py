"""The end of a sweep on the server: nothing twice, nothing lost while it was away."""

import socket
from dataclasses import replace

import pytest
from finished_run import around
from mlflow_server import start
from tracked_run import SWEEP, all_runs, rows

from unpromptable import tracking
from unpromptable.tracking import closing


def test_planning_and_closing_twice_makes_one_sweep_two_cells_and_no_point_twice(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found, histories = rows(tmp_path)
    for _ in range(2):
        ids = tracking.open_runs(str(tmp_path), SWEEP)
        assert tracking.close(str(tmp_path), "demo", found, histories, [], "FAILED")
    client, runs = all_runs(tmp_path)
    assert len(runs) == 3
    cells = [r for r in runs if tracking.PARENT in r.data.tags]
    sweep = next(r for r in runs if tracking.PARENT not in r.data.tags)
    assert {r.data.tags[tracking.PARENT] for r in cells} == {sweep.info.run_id} and {
        r.info.run_id for r in cells
    } == set(ids.values())
    assert len(client.get_metric_history(ids["ours"], "train/remember")) == 20
    assert client.get_run(ids["ours"]).data.metrics["sscd"] == pytest.approx(0.2)
    assert (
        cells[0].data.metrics.keys() == cells[1].data.metrics.keys() >= {"sscd", "sscd.low", "train/remember"}
    )
    assert (
        cells[0].data.params.keys() == cells[1].data.params.keys()
        and client.get_run(ids["neggrad"]).data.params["method.beta"] == "n/a"
    )
    assert {client.get_run(i).info.status for i in ids.values()} == {"FINISHED", "FAILED"}
    version = client.get_model_version_by_alias("unpromptable-demo", "best")
    assert (
        version.run_id == ids["ours"]
        and version.source.endswith("unlearned")
        and client.get_model_version_by_alias("unpromptable-demo", "ours").version == version.version
    )
    assert len(client.search_model_versions("name = 'unpromptable-demo'")) == 1


def test_the_alias_best_goes_where_no_cell_forgets_any_more(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found, histories = rows(tmp_path)
    tracking.open_runs(str(tmp_path), SWEEP)
    aliases = []
    for sscd in (0.2, 0.9):
        judged = replace(found[0], name=f"Ours {sscd}", metrics={**found[0].metrics, "sscd": around(sscd)})
        assert tracking.close(str(tmp_path), "demo", [judged, found[1]], histories, [], "FAILED")
        client = tracking.client(str(tmp_path))
        aliases.append(set(client.get_registered_model("unpromptable-demo").aliases))
    assert aliases == [{"ours", "best"}, {"ours"}]
    (version,) = client.search_model_versions("name = 'unpromptable-demo'")
    assert version.description == "Ours 0.9"


def test_runs_that_the_plan_could_not_make_are_made_by_the_report(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert set(tracking.open_runs(str(tmp_path), SWEEP).values()) == {None}
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    found, histories = rows(tmp_path)
    assert tracking.close(str(tmp_path), "demo", found, histories, [], "SUCCEEDED")
    client, runs = all_runs(tmp_path)
    assert (
        len(runs) == 3
        and max(len(client.get_metric_history(r.info.run_id, "train/remember")) for r in runs) == 20
    )


def test_a_folder_of_an_odd_name_holds_its_database_and_what_is_logged(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    out = tmp_path / """it's "a" [x] ä:é & b=c;d $"""
    out.mkdir()
    tracking.check(str(out))
    odd = replace(SWEEP, key=f"{out}/experiment.json:k")
    ids = tracking.open_runs(str(out), odd)
    assert tracking.open_runs(str(out), odd) == ids and all(ids.values())
    (out / "report.md").write_text("r")
    found, histories = rows(out)
    assert tracking.close(str(out), "demo", found, histories, [out / "report.md"], "FAILED")
    client = tracking.client(str(out))
    assert (
        "unlearned" in {a.path for a in client.list_artifacts(ids["ours"])} and (out / "mlflow.db").is_file()
    )
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("pictures", [False, True])
def test_reports_that_hold_pictures_are_sent_only_when_asked(tmp_path, monkeypatch, pictures):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.open_runs(str(tmp_path), SWEEP)
    found, histories = rows(tmp_path)
    (tmp_path / "figures").mkdir()
    with_pictures, without = ["report.html", "figures/prompted.png"], ["report.md", "figures/curves.png"]
    for name in with_pictures + without:
        (tmp_path / name).write_text("x")
    pages = [tmp_path / "report.md", tmp_path / "report.html"]
    assert tracking.close(str(tmp_path), "demo", found, histories, pages, "FAILED", pictures)
    sent = {p.as_posix().rpartition("/artifacts/")[2] for p in (tmp_path / "mlartifacts").rglob("*")}
    assert set(without) | {"rows.json"} <= sent
    assert set(with_pictures) & sent == (set(with_pictures) if pictures else set())


@pytest.mark.parametrize(
    "slug, alias",
    [("latest", "cell-latest"), ("v1", "cell-v1"), ("best", "cell-best"), ("v1-2", "v1-2"), ("ours", "ours")],
)
def test_a_cell_whose_name_mlflow_keeps_for_itself_has_another_alias(slug, alias):
    from mlflow.utils.validation import _validate_model_alias_name, _validate_model_alias_name_reserved

    assert closing._alias(slug) == alias
    _validate_model_alias_name(alias), _validate_model_alias_name_reserved(alias)


@pytest.mark.slow
def test_a_server_killed_in_the_middle_and_started_again_has_every_point(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    server = start(tmp_path, port)
    ids = tracking.open_runs(str(tmp_path), SWEEP)
    server.terminate(), server.wait()
    found, histories = rows(tmp_path)
    assert tracking.close(str(tmp_path), "demo", found, histories, [], "SUCCEEDED") is False
    server = start(tmp_path, port)
    try:
        assert tracking.open_runs(str(tmp_path), SWEEP) == ids
        for _ in range(2):
            assert tracking.close(str(tmp_path), "demo", found, histories, [], "SUCCEEDED")
        client, runs = all_runs(tmp_path)
        assert len(runs) == 3 and len(client.get_metric_history(ids["ours"], "train/remember")) == 20
        assert [len(client.get_metric_history(run, "sscd")) for run in ids.values()] == [1, 1]
    finally:
        server.terminate(), server.wait()

"""What a run shows is what was measured last, however often it is sent; MLflow takes no point back."""

import json
import math
from dataclasses import replace

import pytest
from finished_run import around
from tracked_run import SWEEP, rows

from unpromptable import tracking
from unpromptable.scoring.estimates import Estimate
from unpromptable.tracking import points


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """Closes the sweep, with rows in place of the usual ones; what it shows of a cell, and all points."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ids, (found, histories) = tracking.open_runs(str(tmp_path), SWEEP), rows(tmp_path)

    def close(*changed):
        made = {r.cell: r for r in [*found, *changed]}
        assert tracking.close(str(tmp_path), "demo", list(made.values()), histories, [], "SUCCEEDED")
        client = tracking.client(str(tmp_path))
        kept = lambda cell, name: [(m.step, m.value) for m in client.get_metric_history(ids[cell], name)]
        return lambda cell, name: (client.get_run(ids[cell]).data.metrics[name], kept(cell, name))

    close.rows, close.histories = {r.cell: r for r in found}, histories
    return close


def measured(row, **metrics):
    """The row with other numbers of these metrics."""
    return replace(row, metrics={**row.metrics, **metrics})


def test_a_cell_that_failed_and_then_forgets_shows_its_numbers_those_below_zero_too(sent):
    assert math.isnan(sent()("neggrad", "sscd")[0]), "every cell has every key"
    row = replace(sent.rows["neggrad"], status="done", error=None)
    show = sent(measured(row, sscd=Estimate(-0.02, -0.05, 0.01, 8), fid_pre=around(4.7, 0.3)))
    shown = [show("neggrad", name)[0] for name in ("sscd", "sscd.low", "sscd.high", "fid_pre")]
    assert shown == [-0.02, -0.05, 0.01, 4.7]


@pytest.mark.parametrize("anew", [0.1, 0.95, 0.0, -0.1, None])
def test_a_number_that_is_measured_anew_is_shown_and_sent_again_adds_nothing(sent, anew):
    assert sent()("ours", "sscd_target") == (0.9, [(0, 0.9)])
    again = measured(sent.rows["ours"], sscd_target=None if anew is None else Estimate(anew, None, None, 1))
    for _ in range(2):
        value, kept = sent(again)("ours", "sscd_target")
        assert math.isnan(value) if anew is None else value == anew
        assert len(kept) == 2
    value, kept = sent()("ours", "sscd_target")
    assert value == 0.9 and len(kept) == 3, "the first number again is one more that is new"


def test_a_number_that_no_cell_has_any_more_is_shown_no_more_and_one_of_others_stays(sent, tmp_path):
    assert sent()("ours", "sscd")[0] == 0.2
    client, run = tracking.client(str(tmp_path)), tracking.open_runs(str(tmp_path), SWEEP)["ours"]
    client.log_metric(run, "rated", 4.0)
    show = sent(replace(sent.rows["ours"], status="failed", error="score: nan", metrics={}))
    assert all(math.isnan(show("ours", name)[0]) for name in ("sscd", "sscd.low", "fid_pre"))
    assert show("ours", "rated") == (4.0, [(0, 4.0)])


def test_numbers_that_no_database_holds_as_they_are_are_sent_once(sent):
    open_ended = measured(sent.rows["ours"], sscd=Estimate(0.2, -math.inf, math.inf, 2))
    for _ in range(2):
        show = sent(open_ended)
        assert [len(show("ours", name)[1]) for name in ("sscd", "sscd.low", "sscd.high")] == [1, 1, 1]
        assert len(show("neggrad", "sscd")[1]) == 1


def test_updates_that_a_resumed_training_made_anew_are_shown_and_the_others_stay_one_point(sent):
    before = sent()("ours", "train/remember")
    assert before[0] == 1 / 20 and len(before[1]) == 20
    lines = sent.histories["ours"].read_text().splitlines()
    anew = [json.dumps({**json.loads(line), "remember": 0.01}) for line in lines[18:]]
    sent.histories["ours"].write_text("\n".join([*lines[:18], *anew]) + "\n")
    for _ in range(2):
        value, kept = sent()("ours", "train/remember")
        assert value == 0.01 and len(kept) == 22
        assert [step for step, v in kept if v == 0.01] == [19, 20]


def test_a_curve_that_was_sent_in_part_is_completed(sent, tmp_path):
    client = tracking.client(str(tmp_path))
    ids = tracking.open_runs(str(tmp_path), SWEEP)
    start = client.get_run(ids["ours"]).info.start_time
    lines = sent.histories["ours"].read_text().splitlines()
    points.send(client, ids["ours"], points.curves(lines[:7], "ours", start))
    assert [step for step, _ in sent()("ours", "train/remember")[1]] == list(range(1, 21))

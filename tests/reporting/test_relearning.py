"""The curves of relearning are drawn where there are some, and not told as columns."""

from dataclasses import replace

from finished_run import EXPERIMENT, around, row, store  # noqa: F401  (store is a fixture)

from unpromptable.planning.settings import Choice
from unpromptable.reporting import relearning
from unpromptable.reporting.reports import html, markdown

ASKED = replace(EXPERIMENT, metrics=(*EXPERIMENT.metrics, Choice("relearn", {"curve": True})))


def again(name, **curve):
    """A row that relearns."""
    made = row(name, 0.2, 0.3)
    told = {"relearn": 5.0, "relearn_sscd": 0.5, **{f"relearn_sscd_at_{n[1:]}": v for n, v in curve.items()}}
    return replace(made, metrics=made.metrics | {k: around(v) for k, v in told.items()})


def test_a_curve_is_in_the_order_of_its_updates():
    assert relearning.points(again("a", n10=0.6, n0=0.1, n5=0.5)) == [(0, 0.1), (5, 0.5), (10, 0.6)]
    assert relearning.points(again("a")) == []


def test_both_reports_show_the_curves_and_no_column_of_them(store):
    rows = [again("Good", n0=0.1, n5=0.5), again("Better", n0=0.0, n5=0.2)]
    page = html.Report().write(store, ASKED, rows, "SUCCEEDED").read_text()
    text = markdown.Report().write(store, ASKED, rows, "SUCCEEDED").read_text()
    assert (store / "figures" / "relearning.png").is_file() and "figures/relearning.png" in text
    assert "over the updates of relearning" in page and "<th>relearn_sscd</th>" in page
    assert "relearn_sscd_at_" not in page


def test_without_a_curve_nothing_is_drawn(store):
    page = html.Report().write(store, ASKED, [again("Good")], "SUCCEEDED").read_text()
    text = markdown.Report().write(store, ASKED, [again("Good")], "SUCCEEDED").read_text()
    assert "over the updates of relearning" not in page and "relearning.png" not in text
    assert not (store / "figures" / "relearning.png").exists()

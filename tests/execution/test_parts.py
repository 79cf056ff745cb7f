"""A sweep in several runs on one store: each has its cells, any report shows all, and MLflow has one
sweep.
"""

import json

import pytest
from planned_run import finish

from unpromptable import tracking
from unpromptable.execution import parts, plan_step, report_step
from unpromptable.planning import plan, spec
from unpromptable.reporting import rows
from unpromptable.storage import files

TEXT = "name: t\nforget: ['0012-3']\ncells:\n" + "".join(
    f"- {{name: {n}, editor: flip, training: {{steps: {s}}}}}\n"
    for n, s in (("A", 4), ("B", 3), ("C", 2), ("D", 1), ("E", 5))
)


@pytest.fixture
def where(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def planned(where, words):
    """Every run's cells, by name."""
    ids = [plan_step.plan(TEXT, "", {}, str(where), 0, word) for word in words]
    return [[spec.read(where).of(cell.rpartition("/")[2]).name for cell in run] for run in ids]


def specs(where):
    return {s.name: s for s in spec.read(where).cells}


def ends(where):
    client = tracking.client(str(where))
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    return {r.info.run_name: r.info.status for r in runs}, len(runs)


def test_the_runs_of_a_sweep_have_every_cell_once_and_the_longest_ones_apart(where):
    assert planned(where, parts.words(2, "ab")) == [["E", "B", "D"], ["A", "C"]] and planned(
        where, parts.words(1, "ab")
    ) == [["E", "A", "B", "C", "D"]]
    assert ends(where)[1] == 6, "one sweep and five cells, however many runs plan them"


@pytest.mark.parametrize("word", ["2", "3/2/ab", "0/2/ab", "1/2/", "a/b/c"])
def test_a_part_that_is_none_is_refused(word):
    with pytest.raises(ValueError, match="leave it empty, or give number/total/word"):
        parts.read(word)


def test_a_later_run_keeps_what_another_has_written_of_its_cells_failures(where):
    words = parts.words(2, "ab")
    planned(where, words[:1])
    files.write_text(
        specs(where)["E"].place(where).path("failed.json"),
        json.dumps({"step": "unlearn", "error": "nan"}),
    )
    files.write_text(
        specs(where)["A"].place(where).path("failed.json"),
        json.dumps({"step": "unlearn", "error": "nan, earlier"}),
    )
    planned(where, words[1:])
    found = {r.name: r.error for r in rows.collect(str(where))}
    assert found["E"] == "unlearn: nan" and found["A"] == rows.UNFINISHED


def test_the_first_report_shows_what_is_there_and_the_last_one_closes_the_sweep(where):
    first, second = parts.words(2, "ab")
    planned(where, (first, second))
    for name in ("E", "B", "D"):
        finish(where, specs(where)[name])
    report_step.report(str(where), TEXT, "COMPLETE", "", first)
    page = (where / "report.html").read_text()
    assert "Other runs of this sweep are at work" in page and "run 2 of 2 of this sweep is at work" in page
    assert ends(where) == (
        {"t": "RUNNING", "E": "FINISHED", "B": "FINISHED", "D": "FINISHED", "A": "RUNNING", "C": "RUNNING"},
        6,
    )
    for name in ("A", "C"):
        finish(where, specs(where)[name])
    report_step.report(str(where), TEXT, "COMPLETE", "", second)
    page = (where / "report.html").read_text()
    assert (
        "at work" not in page
        and "did not succeed" not in page
        and all(f"<td>{n}</td>" in page for n in "ABCDE")
    )
    assert set(ends(where)[0].values()) == {"FINISHED"}


def test_a_cell_of_a_run_that_ended_is_not_waited_for(where):
    first, second = parts.words(2, "ab")
    planned(where, (first, second))
    for name in ("E", "B", "D", "A"):
        finish(where, specs(where)[name])
    report_step.report(str(where), TEXT, "FAILED", "", second)
    assert "at work" not in (where / "report.html").read_text() and ends(where)[0]["t"] == "FAILED"
    report_step.report(str(where), TEXT, "COMPLETE", "", first)
    assert ends(where)[0] == {
        "t": "FAILED",
        "A": "FINISHED",
        "B": "FINISHED",
        "C": "FAILED",
        "D": "FINISHED",
        "E": "FINISHED",
    }


def test_notes_of_an_earlier_submission_say_nothing_of_this_one(where):
    planned(where, parts.words(2, "ab"))
    for word in parts.words(2, "ab"):
        report_step.report(str(where), TEXT, "COMPLETE", "", word)
    assert parts.at_work(str(where), parts.read("1/2/ab")) == [] and parts.at_work(
        str(where), parts.read("1/2/cd")
    ) == [2]


def test_a_later_run_waits_for_the_first_ones_plan_and_not_for_ever(where, monkeypatch, caplog):
    waits = []

    def pause(seconds):
        waits.append(seconds)
        if len(waits) == 2:
            parts.note(where, parts.read("1/3/ab"), "planned")

    monkeypatch.setattr(parts.time, "sleep", pause)
    parts.await_first(str(where), parts.read("2/3/ab"))
    assert len(waits) == 2 and caplog.text == ""
    monkeypatch.setattr(parts, "PATIENCE", -1.0)
    parts.await_first(str(where), parts.read("2/3/cd"))
    assert "so run 2 plans itself" in caplog.text


def test_the_words_of_a_sweep_in_one_run_are_none():
    assert parts.words(1, "ab") == [""] and parts.read("") == parts.Part() and parts.read("").first


def test_the_order_of_cells_is_the_same_for_every_run():
    resolved = plan.resolve(TEXT)
    assert [s.name for s in resolved.run().longest_first()] == ["E", "A", "B", "C", "D"]

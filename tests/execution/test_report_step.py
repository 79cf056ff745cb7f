"""How a run is said to have ended: by its rows, whatever state the engine hands over."""

import json
import shutil

import pytest
from contracts import others
from planned_run import TEXT, ends, finish, last_step, specs, where  # noqa: F401  (where is a fixture)

from unpromptable.execution import report_step
from unpromptable.storage import files, once

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
    files.write_text(
        second.place(where).path("failed.json"),
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
    assert {report_step.verdict([], state) for state in STATES} == {"FAILED"}


REPORT = """
from dataclasses import dataclass
from unpromptable import protocols

@dataclass(frozen=True)
class Report(protocols.Report):
    def write(self, store, experiment, rows, state):
"""
BROKEN = {
    "bug": (REPORT + "        raise KeyError('oops')", "report bug: KeyError: 'oops'"),
    "nowhere": (
        REPORT + "        return store / 'x.csv'",
        "report nowhere: gave .*x.csv, which is no file in",
    ),
    "path": (
        REPORT + "        return str(store / 'report.md')",
        "report path: gave '.*; `write` must return",
    ),
    "unread": ("raise RuntimeError('no driver')", "reports: unread .* cannot be imported: RuntimeError: no"),
    "above": (
        REPORT + "        return store.parent / 'a.txt'",
        "report above: gave .*a.txt, which is no file",
    ),
}


def report(where):
    report_step.report(str(where), "t", "SUCCEEDED")


def test_a_report_that_fails_is_named_at_the_end_and_costs_no_other_and_no_tracking(where, tmp_path_factory):
    folder = tmp_path_factory.mktemp("others")
    for spec in specs(where):
        finish(where, spec)
    for name, (code, _) in BROKEN.items():
        others.put(folder, "report", name, code)
    good = "        (store / 'z.csv').write_text('1')\n        return store / 'z.csv'"
    others.put(folder, "report", "zz", REPORT + good)
    (where.parent / "a.txt").write_text("of another")
    with others.on_path(folder):
        for _ in range(2):  # a run that is repeated tries again
            (where / "z.csv").unlink(missing_ok=True)
            with pytest.raises(once.Stopped) as told:
                report(where)
            for _, words in BROKEN.values():
                assert told.match(words)
            assert "zz" not in str(told.value) and (where / "z.csv").is_file()
    assert (where / "report.html").is_file() and (where / "report.md").is_file()
    assert ends(where) == {"t": "FINISHED", "A": "FINISHED", "B": "FINISHED"}
    events = list(map(json.loads, (where / "progress.jsonl").read_text().splitlines()))
    assert {"failed"} == {e["kind"] for e in events} and len(events) == 2 * len(BROKEN)
    report(where)  # without them


def test_two_reports_of_one_name_are_named_and_cost_no_tracking(where, tmp_path_factory):
    folder = tmp_path_factory.mktemp("others")
    others.put(folder, "report", "html", REPORT + "        return None")
    with (
        others.on_path(folder),
        pytest.raises(once.Stopped, match="reports: html of the package others_html"),
    ):
        report(where)
    assert (where / "rows.json").is_file() and set(ends(where).values()) == {"FAILED"}


def test_what_was_deleted_or_damaged_of_the_reports_comes_back_when_the_run_is_repeated(where):
    for spec in specs(where):
        finish(where, spec)
    report(where)
    page, figures = where / "report.md", sorted((where / "figures").glob("*.png"))
    text, written = page.read_text(), (where / "report.html").stat().st_mtime_ns
    report(where)
    assert (where / "report.html").stat().st_mtime_ns == written and len(figures) > 1
    page.unlink()
    report(where)
    assert page.read_text() == text
    shutil.rmtree(where / "figures")
    report(where)
    assert sorted((where / "figures").glob("*.png")) == figures
    page.write_text("cut")
    report(where)
    assert page.read_text() == text

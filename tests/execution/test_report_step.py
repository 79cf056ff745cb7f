"""How a run is said to have ended: by its rows, whatever state the engine hands over."""

import json

from planned_run import TEXT, ends, finish, last_step, specs, where  # noqa: F401  (where is a fixture)

from unpromptable.execution import report_step
from unpromptable.storage import files

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

"""Every report writes a file into the run's folder, whatever came of the run, and the same again."""

from dataclasses import replace

import pytest
from finished_run import EXPERIMENT, failed, row, store  # noqa: F401  (store is a fixture)

from unpromptable.planning import plugins

from . import small

ODD = failed("Broken | <i> $x_{$", "unlearn: <u> | $y_{$")
RUNS = {
    "SUCCEEDED": [row("Good", 0.2, 0.3), row("Keeps", 0.9, 0.01)],
    "FAILED": [row("Good", 0.2, 0.3), ODD],
    "TERMINATED": [ODD],
    "RUNNING": [row("Good", 0.2, 0.3), replace(ODD, status="waiting")],
}


@small.choices("report")
@pytest.mark.parametrize("state", RUNS)
def test_it_writes_a_file_into_the_runs_folder_or_nothing(name, state, store):
    report = plugins.make("report", name)
    found = report.write(store, EXPERIMENT, RUNS[state], state)
    if found is not None:
        assert found.is_relative_to(store) and found.stat().st_size > 0
        before = found.read_bytes()
        assert report.write(store, EXPERIMENT, RUNS[state], state) == found and found.read_bytes() == before

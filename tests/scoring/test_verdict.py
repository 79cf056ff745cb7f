"""Which rows forget, which of those is best, and what every table shows."""

import dataclasses

import pytest
from finished_run import failed, row

from unpromptable.planning import experiment
from unpromptable.scoring import verdict


def test_every_column_is_a_metric_that_every_experiment_measures():
    assert tuple(c.metric for c in verdict.COLUMNS) == experiment.METRICS


@pytest.mark.parametrize("mean, forgets", [(0.399, True), (0.4, False), (0.9, False)])
def test_a_row_forgets_below_the_threshold_alone(mean, forgets):
    assert verdict.forgets(row("a", mean, 0.1)) is forgets


def test_a_row_without_a_result_forgets_nothing_and_is_never_best():
    rows = [failed("Broken", "nan"), row("Keeps", 0.9, 0.01)]
    assert not verdict.forgets(rows[0]) and verdict.best(rows, "lpips") is None


def test_the_best_has_the_higher_value_where_higher_is_better():
    rows = [row("Low", 0.1, 0.2), row("High", 0.2, 0.5)]  # ssim is 1 - lpips
    assert verdict.best(rows, "lpips") == "Low" and verdict.best(rows, "ssim") == "Low"
    assert verdict.best(rows[::-1], "fid_real") == "Low" and verdict.best(rows, "sscd") is None


def test_a_row_that_stopped_drawing_is_best_in_nothing():
    stopped = dataclasses.replace(row("Stopped", 0.1, 0.1), stopped="stopped at 64 of 1024 images")
    assert verdict.best([stopped, row("Whole", 0.2, 0.2)], "lpips") == "Whole"

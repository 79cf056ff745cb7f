"""Means and their intervals."""

import numpy as np
import pytest

from unpromptable.scoring.estimates import Estimate, estimate, over_targets, share


def test_nothing_tells_how_far_a_single_value_may_be_off():
    assert estimate([0.39]) == over_targets([np.array([0.39])]) == Estimate(0.39, None, None, 1)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_the_interval_of_a_few_values_holds_95_percent_of_the_time(n):
    values = np.random.default_rng(0).normal(size=(4000, n))
    holds = [e.low <= 0 <= e.high for e in map(estimate, values)]
    assert np.mean(holds) == pytest.approx(0.95, abs=0.012)


def test_wilson_s_interval_by_hand():
    found = share(0, 100)
    assert (found.mean, found.low, found.n) == (0.0, 0.0, 100) and found.high == pytest.approx(
        1.96**2 / (100 + 1.96**2)
    )
    assert share(0.5, 1).mean == 0.5  # a tie

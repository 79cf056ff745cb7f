"""An interval over targets and training seeds holds 95 % of the time, and with one seed it is Student's."""

import numpy as np
import pytest
from scipy.stats import t

from unpromptable.reporting import spread
from unpromptable.scoring.estimates import Estimate, estimate

SEEDS, WORLDS, RESAMPLED = 3, 2000, 200


def worlds(targets, of_seeds, rng, skewed=False):
    """Values around 0 of many experiments, (experiments, targets, seeds): targets vary by 1, seeds by
    `of_seeds`.
    """
    shape = (WORLDS, targets, 1)
    drawn = rng.exponential(size=shape) - 1 if skewed else rng.standard_normal(shape)
    return drawn + of_seeds * rng.standard_normal((WORLDS, targets, SEEDS))


def held(values):
    """How often the interval that reports show holds the mean, 0."""
    found = [spread.over(list(one)) for one in values]
    return np.mean([e.low < 0 < e.high for e in found])


def bootstrap(values, rng):
    """How often a percentile bootstrap does that draws targets, then seeds of each."""
    number, targets, seeds = values.shape
    which = rng.integers(0, targets, (number, RESAMPLED, targets, 1))
    of = rng.integers(0, seeds, (number, RESAMPLED, targets, seeds))
    means = values[np.arange(number)[:, None, None, None], which, of].mean((2, 3))
    low, high = np.percentile(means, (2.5, 97.5), axis=1)
    return np.mean((low < 0) & (high > 0))


def pooled(values):
    """How often Student's interval does over all runs as if they were independent."""
    flat = values.reshape(len(values), -1)
    half = t.ppf(0.975, flat.shape[1] - 1) * flat.std(1, ddof=1) / np.sqrt(flat.shape[1])
    return np.mean(abs(flat.mean(1)) < half)


@pytest.mark.parametrize("of_seeds", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("targets", [3, 4, 5, 6])
def test_the_interval_holds_95_percent_of_the_time_whatever_seeds_add(targets, of_seeds):
    drawn = worlds(targets, of_seeds, np.random.default_rng(targets))
    assert held(drawn) == pytest.approx(0.95, abs=0.02)  # four deviations of 2,000 experiments


@pytest.mark.parametrize("targets, most", [(3, 0.80), (4, 0.86), (5, 0.89), (6, 0.91)])
def test_a_percentile_bootstrap_would_hold_less_often_with_few_targets(targets, most):
    rng = np.random.default_rng(0)
    drawn = worlds(targets, 0.3, rng)
    assert bootstrap(drawn[:1000], rng) < most < held(drawn)


def test_runs_of_one_target_are_not_independent():
    drawn = worlds(4, 0.3, np.random.default_rng(0))
    assert pooled(drawn) < 0.80 < 0.93 < held(drawn)


def test_skewed_targets_cost_some_of_it_and_more_of_a_bootstrap():
    rng = np.random.default_rng(0)
    drawn = worlds(4, 0.3, rng, skewed=True)
    assert held(drawn) > 0.85 > 0.82 > bootstrap(drawn[:1000], rng)


def test_targets_and_seeds_by_hand():
    """Means of the targets 0.2 and 0.6: deviation 0.2 * sqrt(2), t(1) = 12.706."""
    found = spread.over([np.array([0.1, 0.3]), np.array([0.5, 0.6, 0.7])])
    assert found.mean == pytest.approx(0.4) and found.n == 2
    assert found.high - 0.4 == pytest.approx(12.706 * 0.2, rel=1e-4)


def test_one_seed_per_target_gives_students_interval_bit_for_bit():
    values = np.random.default_rng(0).normal(size=5)
    assert spread.over([np.array([v]) for v in values]) == estimate(values)


def test_a_single_target_is_over_its_seeds_and_a_single_number_has_no_interval():
    assert spread.over([np.array([1.0, 2.0, 4.0])]) == estimate(np.array([1.0, 2.0, 4.0]))
    assert spread.over([np.array([2.0])]) == Estimate(2.0, None, None, 1)

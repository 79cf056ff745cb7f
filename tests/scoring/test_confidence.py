"""The confidence sequence holds at all numbers of values at once, and is Robbins' where there are many."""

import numpy as np
import pytest

from unpromptable.scoring import confidence

LOOKS = (6, 12, 24, 48, 96)


def missed(values, mean, alpha, looks):
    """The share of the rows of values (runs, n) whose interval leaves the mean out at any of the looks."""
    out = np.zeros(len(values), bool)
    for n in looks:
        part = values[:, :n]
        t2 = n * (part.mean(1) - mean) ** 2 / part.var(1, ddof=1)
        out |= t2 > confidence.square(n, alpha)
    return out.mean()


@pytest.mark.parametrize(
    "draw, mean",
    [
        (lambda g, size: g.standard_normal(size), 0.0),
        (lambda g, size: g.uniform(size=size), 0.5),
        (lambda g, size: g.laplace(size=size), 0.0),
        (lambda g, size: g.beta(2, 8, size) - g.beta(2, 5, size), 0.2 - 2 / 7),  # a difference of two metrics
    ],
    ids=["normal", "uniform", "laplace", "difference"],
)
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_means_stay_inside_at_all_prefixes_at_once(draw, mean, alpha):
    values = draw(np.random.default_rng(0), (20_000, 96))
    assert missed(values, mean, alpha, LOOKS) <= alpha


def test_a_tail_on_one_side_costs_at_most_thrice_the_level_in_prefixes_of_few():
    values = np.random.default_rng(0).exponential(size=(20_000, 96))
    assert missed(values, 1.0, 0.05, LOOKS) <= 2 * 0.05 and missed(values, 1.0, 0.005, LOOKS) <= 3 * 0.005


def test_looking_after_every_value_is_as_safe():
    values = np.random.default_rng(1).standard_normal((5_000, 300))
    assert missed(values, 0.0, 0.05, range(2, 301)) <= 0.05
    plain = [abs(values[:, :n].mean(1)) > 1.96 * values[:, :n].std(1) / np.sqrt(n) for n in range(2, 301)]
    assert np.any(plain, 0).mean() > 0.3  # intervals that are meant for one look


def test_the_martingale_is_one_over_alpha_at_the_ends():
    n, alpha = 40, 0.01
    values = np.random.default_rng(2).standard_normal(n)
    low, high = confidence.interval(values, alpha)
    for end in (low, high):
        t2 = n * (values.mean() - end) ** 2 / values.var(ddof=1)
        r = confidence.PHI / (confidence.PHI + n)
        told = np.sqrt(r) * ((1 + t2 / (n - 1)) / (1 + r * t2 / (n - 1))) ** (n / 2)
        assert told == pytest.approx(1 / alpha)


def test_many_values_have_robbins_interval_and_few_an_infinite_one():
    n, alpha, phi = 100_000, 0.01, confidence.PHI
    robbins = (n + phi) / n * np.log((n + phi) / (phi * alpha**2))
    assert confidence.square(n, alpha) == pytest.approx(robbins, rel=1e-3)
    assert confidence.interval(np.ones(1), alpha) == (-np.inf, np.inf)
    assert confidence.square(3, 1e-6) == np.inf

"""The Frechet distance equals the published function, and its interval the jackknife by hand."""

import numpy as np
import pytest
from metric_evidence import evidence, images
from scipy.stats import t

from unpromptable.planning import plugins
from unpromptable.scoring import frechet, metric_networks

RNG = np.random.default_rng(0)


def test_frechet_distance_equals_pytorch_fids():
    from pytorch_fid.fid_score import calculate_frechet_distance

    a, b = RNG.normal(size=(300, 24)), RNG.normal(0.3, 1.4, (200, 24))
    sa, sb = frechet.statistics(a), frechet.statistics(b)
    assert frechet.distance(sa, sb) == pytest.approx(
        calculate_frechet_distance(sa.mean, sa.covariance, sb.mean, sb.covariance), rel=1e-7
    )


@pytest.mark.parametrize("n", [8, 30, 31, 400])
def test_frechet_distance_is_that_of_singular_values_with_fewer_images_than_features_too(n):
    """Tr (S_a S_b)^1/2 sums the singular values of X_a X_b^T, X the centred features by (n-1)^1/2."""
    a, b = RNG.normal(size=(n, 30)), RNG.normal(0.3, 1.4, (50, 30))
    x, y = ((f - f.mean(0)) / (len(f) - 1) ** 0.5 for f in (a, b))
    roots = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    value = np.square(a.mean(0) - b.mean(0)).sum() + np.square(x).sum() + np.square(y).sum() - 2 * roots
    sa, sb = frechet.statistics(a), frechet.statistics(b)
    assert frechet.distance(sa, sb) == pytest.approx(value, rel=1e-10) == frechet.distance(sb, sa)


@pytest.mark.parametrize("paired", [True, False])
def test_the_jackknife_is_that_of_covariances_made_anew_without_each_tenth(paired):
    a, b = (RNG.normal(mean, 1, (2057, 8)).astype(np.float32) for mean in (0.1, 5))
    made = lambda x: frechet.Statistics(x.mean(0, dtype=float), np.cov(x.astype(float), rowvar=False), len(x))
    part = np.arange(2057) % 10
    left = [frechet.distance(made(a[part != g]), made(b[part != g] if paired else b)) for g in range(10)]
    half = t.ppf(0.975, 9) * np.sqrt(0.9 * np.square(np.array(left) - np.mean(left)).sum())
    whole = frechet.distance(made(a), made(b))
    assert frechet.interval(a, b, paired) == pytest.approx((whole, whole - half, whole + half), rel=1e-9)


def test_nineteen_of_twenty_intervals_hold_the_value():
    """Of the value as it is at this n: the mean over all."""
    rng = np.random.default_rng(5)
    found = [
        frechet.interval(rng.normal(size=(60, 3)), rng.normal(0.5, 1, (60, 3)), True) for _ in range(600)
    ]
    mean = np.mean([value for value, *_ in found])
    assert 0.93 < np.mean([low <= mean <= high for _, low, high in found]) < 0.98


def test_features_that_are_not_finite_have_no_distance():
    broken = RNG.normal(size=(9, 4))
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="frechet: features are not finite"):
        frechet.interval(broken, RNG.normal(size=(9, 4)), paired=True)


def test_frechet_distance_of_a_set_to_itself_is_zero_even_with_fewer_images_than_features():
    a = frechet.statistics(RNG.normal(size=(10, 30)))
    assert frechet.distance(a, a) == pytest.approx(0, abs=1e-6)


def test_the_jackknife_interval_holds_the_value_and_narrows_with_n():
    draw = lambda n: (RNG.normal(size=(n, 6)), RNG.normal(0.5, 1, (n, 6)))
    (few, low, high), (_, lower, higher) = (
        frechet.interval(*draw(100), paired=False),
        frechet.interval(*draw(3000), paired=False),
    )
    assert low <= few <= high and higher - lower < (high - low) / 2


def test_fid_pre_refuses_unequal_numbers_of_images():
    with pytest.raises(ValueError, match="40 images before, 39 after"):
        plugins.make("metric", "fid_pre").measure(
            evidence(after=images(39)), metric_networks.load("miniature")
        )


def test_a_distance_of_a_set_to_itself_is_zero_with_its_interval_and_never_below():
    rng = np.random.default_rng(0)
    for scale in (1e-4, 1.0, 1e4):
        same = rng.normal(size=(40, 12)) * scale
        mean, low, high = frechet.interval(same, same.copy(), paired=True)
        assert 0 <= low <= mean <= high <= 1e-6 * scale**2


def test_too_few_images_for_an_interval_are_counted_and_four_are_enough():
    draw = lambda n: RNG.normal(size=(n, 6))
    with pytest.raises(ValueError, match="frechet: 3 images; an interval takes 4"):
        frechet.interval(draw(3), draw(30), paired=False)
    value, low, high = frechet.interval(draw(4), draw(30), paired=False)
    assert low < value < high

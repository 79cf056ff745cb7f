"""The closed forms of ridge regression by hand, and what they are at one label."""

import numpy as np
import pytest

from unpromptable.paper import ridge, theory


def test_one_feature_by_hand():
    """X = (1, 2), y = (1, 3), lambda 1: A = 6, theta* = 7/6; without row 2, A = 2 and theta = 1/2."""
    X, y = np.array([[1.0], [2.0]]), np.array([1.0, 3.0])
    assert ridge.solve(X, y, 1.0)[0] == pytest.approx(7 / 6)
    assert ridge.leverage(X, 1.0, 1) == pytest.approx(4 / 6)
    assert ridge.exact_shift(X, y, 1.0, 1)[0] == pytest.approx(1 / 2 - 7 / 6)
    assert ridge.surrogate_shift(X, y, 1.0, 1, np.array([1.0]), 2.0)[0] == pytest.approx(3 / 3 - 7 / 6)
    assert ridge.surrogate_shift(X, y, 1.0, 1, X[1], 2.0, printed=True) == pytest.approx(
        ridge.surrogate_shift(X, y, 1.0, 1, X[1], 2.0)
    )
    assert ridge.norm_ratio(X, y, 1.0, 1, 2.0) == pytest.approx((2 / 3) / (2 / 6))
    assert ridge.closer_labels(X, y, 1.0, 1) == pytest.approx((1.0, 5.0))


def test_the_leave_one_out_prediction_as_label_is_exact_unlearning():
    p = theory.random_problem(np.random.default_rng(0))
    without = ridge.solve(np.delete(p.X, p.i, 0), np.delete(p.y, p.i), p.ridge)
    shift = ridge.surrogate_shift(p.X, p.y, p.ridge, p.i, p.X[p.i], float(p.X[p.i] @ without))
    np.testing.assert_allclose(shift, ridge.exact_shift(p.X, p.y, p.ridge, p.i), rtol=1e-9)


def test_a_surrogate_equal_to_its_target_has_no_ratio():
    with pytest.raises(ValueError, match="y_new is y_i"):
        ridge.norm_ratio(np.ones((2, 1)), np.ones(2), 1.0, 0, 1.0)

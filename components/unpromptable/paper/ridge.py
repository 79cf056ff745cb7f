"""Ridge regression without one of its rows, and with a surrogate of it (Section IV-B): Theorems 1 and 2,
Corollary 3.

X: (n, d) rows x_i, y: (n,), ridge: the lambda of Eq. 14, at least 0. float64 throughout.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import ndarray


class Problem(NamedTuple):
    """One ridge problem, its row i, and the surrogate (x_new, y_new) of that row."""

    X: ndarray
    y: ndarray
    ridge: float
    i: int
    x_new: ndarray
    y_new: float


def gram(X: ndarray, ridge: float) -> ndarray:
    """A = X^T X + lambda I (Eq. 15), (d, d)."""
    return X.T @ X + ridge * np.eye(X.shape[1])


def solve(X: ndarray, y: ndarray, ridge: float) -> ndarray:
    """theta* of Eq. 14 as least squares on X stacked on sqrt(lambda) I, (d,).

    It never forms A, so that it is an independent check of what follows from Eq. 16.
    """
    d = X.shape[1]
    return np.linalg.lstsq(
        np.vstack([X, np.sqrt(ridge) * np.eye(d)]), np.concatenate([y, np.zeros(d)]), rcond=None
    )[0]


def leverage(X: ndarray, ridge: float, i: int) -> float:
    """h = x_i^T A^-1 x_i, in [0, 1): how much the fit at x_i hangs on its own label."""
    return float(X[i] @ np.linalg.solve(gram(X, ridge), X[i]))


def _residual(X: ndarray, y: ndarray, ridge: float, i: int) -> float:
    """x_i^T theta* - y_i, theta* by Eq. 16."""
    return X[i] @ np.linalg.solve(gram(X, ridge), X.T @ y) - y[i]


def exact_shift(X: ndarray, y: ndarray, ridge: float, i: int) -> ndarray:
    """theta~ - theta* when row i is removed (Theorem 1, Eq. 18), (d,)."""
    direction = np.linalg.solve(gram(X, ridge), X[i])
    return _residual(X, y, ridge, i) / (1 - X[i] @ direction) * direction


def surrogate_shift(
    X: ndarray, y: ndarray, ridge: float, i: int, x_new: ndarray, y_new: float, printed: bool = False
) -> ndarray:
    """theta+ - theta* when row i becomes (x_new, y_new) (Theorem 2), (d,).

    printed: Eq. 31 as it stands in the paper, with (x_i - x_new)*y_new. The proof's own Eq. 41 has the other
    sign, and only that one is right.
    """
    A, r = gram(X, ridge), x_new - X[i]
    M = np.outer(X[i], r) + np.outer(r, X[i]) + np.outer(r, r)
    moved = X.T @ y + X[i] * (y_new - y[i]) + (-r if printed else r) * y_new
    return np.linalg.solve(A + M, moved) - np.linalg.solve(A, X.T @ y)


def norm_ratio(X: ndarray, y: ndarray, ridge: float, i: int, y_new: float) -> float:
    """How much further exact unlearning moves theta than a surrogate with x_new = x_i (Corollary 3, Eq. 47).

    Raises ValueError where y_new is y_i: that surrogate moves nothing.
    """
    if y_new == y[i]:
        raise ValueError(
            f"norm_ratio: y_new is y_i ({y_new}), so the surrogate moves nothing and the ratio is infinite"
        )
    return float(abs(_residual(X, y, ridge, i)) / (abs(y_new - y[i]) * abs(1 - leverage(X, ridge, i))))


def closer_labels(X: ndarray, y: ndarray, ridge: float, i: int) -> tuple[float, float]:
    """The open interval of y_new in which a surrogate with x_new = x_i moves theta less than removing row i
    does.

    Eq. 47 says "can": its ratio is above 1 exactly where |y_new - y_i| * (1 - h) < |x_i^T theta* - y_i|. One
    end of the interval is the leave-one-out prediction, at which both solutions are the same; y_i is its
    middle.
    """
    reach = float(abs(_residual(X, y, ridge, i)) / (1 - leverage(X, ridge, i)))
    return float(y[i]) - reach, float(y[i]) + reach

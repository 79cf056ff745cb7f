"""The theorems of IV-B agree with ridge solutions computed directly; the printed Eq. 31 does not."""

import json

import numpy as np
import pytest

from unpromptable.paper import theory


@pytest.fixture(scope="module")
def rows():
    return {r["name"]: r for r in theory.check(2000)}


@pytest.mark.parametrize(
    "name", ["Theorem 1", "Theorem 2", "Corollary 3", "Corollary 3, y' the model's own prediction"]
)
def test_the_closed_forms_equal_direct_solutions_on_2000_problems(rows, name):
    assert rows[name]["deviation"]["n"] == 2000 and rows[name]["deviation"]["high"] < 1e-9


def test_the_printed_equation_31_is_wrong_on_every_problem(rows):
    assert (
        rows["Theorem 2 as printed"]["deviation"]["low"] > 1e-4
        and rows["Theorem 2 as printed"]["deviation"]["mean"] > 1
    )


def test_the_condition_decides_every_problem_and_the_surrogate_is_closer_in_some_only(rows):
    assert rows["Corollary 3, condition"]["deviation"]["high"] == 0
    closer = rows["Corollary 3"]["closer"]
    assert 0.4 < closer["low"] < closer["mean"] < closer["high"] < 0.7


def test_one_feature_by_hand():
    """X = (1, 2), y = (1, 3), lambda 1: A = 6, theta* = 7/6; without row 2, A = 2 and theta = 1/2."""
    X, y = np.array([[1.0], [2.0]]), np.array([1.0, 3.0])
    assert theory.solve(X, y, 1.0)[0] == pytest.approx(7 / 6)
    assert theory.leverage(X, 1.0, 1) == pytest.approx(4 / 6)
    assert theory.exact_shift(X, y, 1.0, 1)[0] == pytest.approx(1 / 2 - 7 / 6)
    assert theory.surrogate_shift(X, y, 1.0, 1, np.array([1.0]), 2.0)[0] == pytest.approx(3 / 3 - 7 / 6)
    assert theory.surrogate_shift(X, y, 1.0, 1, X[1], 2.0, printed=True) == pytest.approx(
        theory.surrogate_shift(X, y, 1.0, 1, X[1], 2.0)
    )
    assert theory.norm_ratio(X, y, 1.0, 1, 2.0) == pytest.approx((2 / 3) / (2 / 6))
    assert theory.closer_labels(X, y, 1.0, 1) == pytest.approx((1.0, 5.0))


def test_the_leave_one_out_prediction_as_label_is_exact_unlearning():
    p = theory.random_problem(np.random.default_rng(0))
    without = theory.solve(np.delete(p.X, p.i, 0), np.delete(p.y, p.i), p.ridge)
    shift = theory.surrogate_shift(p.X, p.y, p.ridge, p.i, p.X[p.i], float(p.X[p.i] @ without))
    np.testing.assert_allclose(shift, theory.exact_shift(p.X, p.y, p.ridge, p.i), rtol=1e-9)


def test_a_surrogate_equal_to_its_target_has_no_ratio():
    with pytest.raises(ValueError, match="y_new is y_i"):
        theory.norm_ratio(np.ones((2, 1)), np.ones(2), 1.0, 0, 1.0)


def test_figure_4_shows_a_surrogate_that_is_closer():
    p = theory.example()
    low, high = theory.closer_labels(*p[:4])
    assert low < p.y_new < high
    assert np.linalg.norm(theory.surrogate_shift(*p)) < np.linalg.norm(theory.exact_shift(*p[:4])) / 2


def test_the_command_leaves_figure_and_numbers(tmp_path, capsys):
    assert theory.main(["--out", str(tmp_path), "--problems", "20"]) == 0
    assert (tmp_path / "figure4.png").read_bytes().startswith(b"\x89PNG")
    assert [r["name"] for r in json.loads((tmp_path / "theory.json").read_text())][:3] == [
        "Theorem 1",
        "Theorem 2",
        "Theorem 2 as printed",
    ]
    assert "as printed" in capsys.readouterr().out and "figure4.png" in (tmp_path / "theory.md").read_text()

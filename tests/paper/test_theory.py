"""The theorems of IV-B agree with ridge solutions computed directly; the printed Eq. 31 does not."""

import json

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


def test_the_command_leaves_figure_and_numbers(tmp_path, capsys):
    assert theory.main(["--out", str(tmp_path), "--problems", "20"]) == 0
    assert (tmp_path / "figure4.png").read_bytes().startswith(b"\x89PNG")
    assert [r["name"] for r in json.loads((tmp_path / "theory.json").read_text())][:3] == [
        "Theorem 1",
        "Theorem 2",
        "Theorem 2 as printed",
    ]
    assert "as printed" in capsys.readouterr().out and "figure4.png" in (tmp_path / "theory.md").read_text()

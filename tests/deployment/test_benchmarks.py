"""Every benchmark still runs, however small: `make bench` is too long, and nothing else calls them."""

import json
import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SMALL = {
    "sampling": ["--steps", "1", "--batch", "8"],
    "ssim": ["--images", "8"],
    "unlearning": ["--batch", "1"],
    "start": [],
    "approximations": [],
}
MINUTES = ("start", "approximations")
HELD = ("frechet",)  # ten minutes at any size; its distances are those of tests/scoring/test_frechet.py
PARTS = ("paired", "networks", "memory")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in MINUTES else []) for n in SMALL]
)
def test_a_benchmark_records_ratios(name, tmp_path, monkeypatch):
    out = tmp_path / "bench.json"
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", [name, "--pairs", "1", "--out", str(out), *SMALL[name]])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    rows = json.loads(out.read_text())[name]
    assert rows and all(row["median"] > 0 and row["pairs"] == 1 for row in rows.values())


def test_every_benchmark_is_run_by_a_test_or_says_why_not():
    assert {p.stem for p in FOLDER.glob("*.py")} == {*SMALL, *HELD, *PARTS}

"""One cell from its surrogates to its row, the steps one after another in this process."""

from __future__ import annotations

from . import sample_step, score_step, unlearn_step


def cell(cell: str, store: str) -> None:
    """Unlearn, sample and score a cell whose base model's images are drawn; what is finished is skipped."""
    unlearn_step.unlearn(cell, store, "")
    sample_step.sample(cell, store, 0, 1)
    score_step.score(cell, store)

"""What a method of another package may answer to an update; else the cell fails and names the method."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from unpromptable import protocols
from unpromptable.planning.experiment import Cell
from unpromptable.planning.settings import Choice, Training
from unpromptable.storage.once import CellFailed
from unpromptable.unlearning import training


@dataclass(frozen=True)
class Method(protocols.Method):
    """Gives `answer`, and where asked leaves gradients of ones."""

    answer: Any
    gradient: bool = True

    def update(self, model, batch):
        for p in model.trained() if self.gradient else ():
            p.grad = torch.ones_like(p)
        return self.answer


def cell(method):
    choice = Choice("odd")
    object.__setattr__(choice, "made", method)
    return Cell("t", choice, Choice("flip"), Training(steps=1, batch=2), ("a", "b"))


@pytest.mark.parametrize(
    "method, words",
    [
        (Method({"remember": 1.0}, gradient=False), "left no gradient; `update` must leave one in `.grad`"),
        (Method(None), "gave None; `update` must return a dict of numbers by name"),
        (Method([1.0]), r"gave \[1.0\]; `update` must return a dict"),
        (Method(torch.tensor(1.0)), r"gave tensor\(1.\); `update` must return a dict"),
        (Method({"remember": torch.tensor(1.0)}), r"gave {'remember': tensor\(1.\)}; `update` must return"),
        (Method({"remember": "x"}), "gave {'remember': 'x'}; `update` must return a dict of numbers"),
        (Method({1: 1.0}), "gave {1: 1.0}; `update` must return a dict of numbers by name"),
        *((Method({k: 1.0}), f"gave a number {k}, which is the trainer's word") for k in training.OWN),
    ],
)
def test_an_update_that_is_none_fails_the_cell_and_names_the_method(method, words, tiny, images, tmp_path):
    with pytest.raises(CellFailed, match=f"^method odd: {words}"):
        training.unlearn(cell(method), tiny, images, tmp_path)
    assert not (tmp_path / "history.jsonl").read_text()


def test_numbers_of_any_name_but_the_trainers_are_kept(tiny, images, tmp_path):
    training.unlearn(cell(Method({"remember": 1, "steps": 2.5})), tiny, images, tmp_path)
    lines = list(map(json.loads, (tmp_path / "history.jsonl").read_text().splitlines()))
    assert [(one["target"], one["remember"], one["steps"]) for one in lines] == [("a", 1, 2.5), ("b", 1, 2.5)]

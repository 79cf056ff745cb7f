"""Which remember images a training goes back to, since they look like what is forgotten."""

import dataclasses

import numpy as np
import pytest

from unpromptable.execution import lookalikes
from unpromptable.planning import plan
from unpromptable.scoring import metric_networks
from unpromptable.scoring.lookalikes import nearest
from unpromptable.unlearning import training


def test_the_nearest_of_each_target_come_first_and_none_twice():
    keep = np.array([[1, 0], [0, 1], [0.8, 0.6], [0.6, 0.8]])
    targets = np.array([[1, 0], [0.6, 0.8]])
    assert nearest(keep, targets, 1).tolist() == [0, 3]
    assert nearest(keep, targets, 2).tolist() == [0, 2, 3]
    assert nearest(keep, targets, 9).tolist() == [0, 2, 3, 1]


@pytest.mark.parametrize("share, each, number", [(0.0, 2, None), (0.25, 2, 2), (1.0, 50, 12)])
def test_a_cell_that_asks_for_lookalikes_gets_them_marked(share, each, number):
    found = plan.resolve("demo")
    cell = found.cells[0]
    how = dataclasses.replace(cell.training, lookalikes=share, lookalikes_each=each)
    pictures = np.random.default_rng(1).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    given = training.Images(pictures, pictures[4:5], pictures[5:6], ("a",))
    marked = lookalikes.marked(dataclasses.replace(cell, training=how), found.experiment, given).lookalikes
    assert (None if marked is None else len(marked)) == number
    if number:
        z = metric_networks.load("miniature").descriptor(pictures).numpy()
        assert marked[0] == 4 and marked.tolist() == np.argsort(-z @ z[4])[:number].tolist()

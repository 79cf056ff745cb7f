"""A target's updates end where a check finds it forgotten; what none finds trains as it would without."""

import copy
import dataclasses

import pytest
import torch
from test_training import CELL, history, stop_at, weights

from unpromptable.planning.settings import Training
from unpromptable.unlearning import training
from unpromptable.unlearning.stopping import Stopping, scheduled

SETTINGS = Training(steps=40, lr=1.0, cooldown=0.5, until=0.4, until_every=5)


def walked(settings, found):
    """Every update of two targets with its rate, where checks of target k find found[k]."""
    stopping, steps, step = Stopping(settings, lambda model, which: found[which].pop(0)), [], 0
    while step < 2 * settings.steps:
        rate, checked = stopping.rate(step), stopping.check(None, step)
        steps.append((step, rate, checked.get("checked")))
        step = stopping.after(step)
    return steps


def test_a_forgotten_target_ends_after_a_fall_of_its_own_length():
    steps = walked(SETTINGS, [[0.9, 0.3, 0.1], [0.9] * 5])
    first = [s for s in steps if s[0] < 40]
    assert [s[0] for s in first] == list(range(20))
    assert [s[0] for s in first if s[2]] == [4, 9, 19] and [s[1] for s in first[:11]] == [1.0] * 11
    assert [s[1] for s in first[10:]] == pytest.approx([1 - k / 10 for k in range(10)])


def test_a_target_that_no_check_finds_forgotten_trains_as_without_checks():
    steps = [s for s in walked(SETTINGS, [[0.9] * 9, [0.9] * 9]) if s[0] >= 40]
    plain = dataclasses.replace(SETTINGS, until=0.0)
    assert [s[:2] for s in steps] == [(40 + u, scheduled(plain, u)) for u in range(40)]


def test_a_target_that_comes_back_while_the_rate_falls_goes_on_until_it_is_as_far_below():
    long = dataclasses.replace(SETTINGS, steps=100)
    steps = [s for s in walked(long, [[0.3, 0.5, 0.25, 0.18, 0.39], [0.9] * 11]) if s[0] < 100]
    assert [s[0] for s in steps if s[2]] == [4, 9, 14, 19, 39]  # 0.25 would come back to 0.45
    assert [s[1] for s in steps[:11]] == pytest.approx([*[1.0] * 6, 0.8, 0.6, 0.4, 0.2, 1.0])
    assert [s[0] for s in steps] == list(range(40)) and [s[1] for s in steps[10:21]] == [1.0] * 11


def test_a_target_that_comes_back_with_its_last_update_ends():
    steps = [s for s in walked(SETTINGS, [[0.9, 0.9, 0.9, 0.3, 0.5], [0.9] * 5]) if s[0] < 40]
    assert [s[0] for s in steps] == list(range(40)) and [s[2] for s in steps if s[2]][-1] == 0.5


def test_a_fall_that_begins_where_it_would_anyway_ends_with_the_last_update():
    """0.3 of 60 updates, of which floating point makes 18.000000000000004."""
    third = dataclasses.replace(SETTINGS, steps=60, cooldown=0.3, until_every=6)
    steps = [s for s in walked(third, [[0.9] * 6 + [0.3, 0.2], [0.9] * 9]) if s[0] < 60]
    assert [s[0] for s in steps if s[2]][-2:] == [41, 59]
    assert [s[1] for s in steps] == pytest.approx(
        [scheduled(dataclasses.replace(third, until=0.0), u) for u in range(60)]
    )


def test_without_a_fall_the_check_is_the_last_update():
    flat = dataclasses.replace(SETTINGS, cooldown=0.0)
    assert [s[0] for s in walked(flat, [[0.5, 0.2], [0.1]])] == [*range(10), *range(40, 45)]


def test_a_fall_that_takes_all_updates_and_an_early_end_contradict():
    with pytest.raises(ValueError, match="training.until can end nothing early"):
        Training(cooldown=1.0, until=0.4)


@pytest.fixture
def cell():
    settings = dataclasses.replace(
        CELL.training, steps=12, cooldown=0.5, until=0.4, until_every=2, save_every=3
    )
    return dataclasses.replace(CELL, training=settings)


def falling(values):
    """A test that finds these, by the number of the target; asked again it goes on."""
    left = [list(v) for v in values]
    return lambda model, which: left[which].pop(0)


def test_a_training_leaves_out_what_a_forgotten_target_does_not_need(tmp_path, tiny, images, cell):
    judge = falling([[0.9, 0.3, 0.2], [0.1, 0.1]])
    summary = training.unlearn(cell, tiny, images, tmp_path, judge=judge)
    lines = history(tmp_path)
    assert [h["step"] for h in lines] == [*range(1, 9), *range(13, 17)] and summary["steps"] == 12
    assert [h["checked"] for h in lines if "checked" in h] == [0.9, 0.3, 0.2, 0.1, 0.1]
    again = training.unlearn(cell, tiny, images, tmp_path, judge=falling([[], []]))  # its last state is kept
    assert again == summary and history(tmp_path) == lines


@pytest.mark.parametrize("stopped", [3, 4, 7])
def test_a_stopped_training_remembers_that_a_target_came_back(tmp_path, tiny, images, cell, stopped):
    whole, part, one = (*(copy.deepcopy(tiny) for _ in range(2)), dataclasses.replace(images, targets=("a",)))
    found = [0.3, 0.5, 0.1, 0.2]  # back by 0.2 with the fourth update
    training.unlearn(cell, whole, one, tmp_path / "whole", judge=falling([found]))
    lines = history(tmp_path / "whole")
    asked = sum("checked" in h for h in lines[: stopped // 3 * 3])  # saved after each third
    with pytest.raises(KeyboardInterrupt):
        training.unlearn(cell, tiny, one, tmp_path / "part", stop_at(stopped), falling([found]))
    training.unlearn(cell, part, one, tmp_path / "part", judge=falling([found[asked:]]))
    assert lines == history(tmp_path / "part") and torch.equal(weights(whole), weights(part))
    assert [h["step"] for h in lines if "checked" in h] == [2, 4, 6, 12]


@pytest.mark.parametrize("stopped", [2, 5, 7, 14])
def test_a_stopped_training_remembers_its_checks(tmp_path, tiny, images, cell, stopped):
    before, probe, whole, part = weights(tiny).clone(), *(copy.deepcopy(tiny) for _ in range(3))
    flat = dataclasses.replace(CELL.training, steps=3, cooldown=0.0)
    one = dataclasses.replace(images, targets=("a",))
    training.unlearn(dataclasses.replace(cell, training=flat), probe, one, tmp_path / "probe")
    moved = lambda model: float((weights(model) - before).norm())
    far = moved(probe)
    judge = lambda model, which: 0.9 if moved(model) < far else 0.3
    training.unlearn(cell, whole, images, tmp_path / "whole", judge=judge)
    with pytest.raises(KeyboardInterrupt):
        training.unlearn(cell, tiny, images, tmp_path / "part", stop_at(stopped), judge)
    training.unlearn(cell, part, images, tmp_path / "part", judge=judge)
    lines = history(tmp_path / "whole")
    assert lines == history(tmp_path / "part") and torch.equal(weights(whole), weights(part))
    assert [h["step"] for h in lines] == [*range(1, 9), *range(13, 17)]

"""The test on the way of a training that may end early: what it compares, and what it depends on."""

import dataclasses

import pytest
from contracts import small

from unpromptable.execution import gate
from unpromptable.planning.experiment import Cell
from unpromptable.planning.settings import Choice, Training
from unpromptable.unlearning.drawing import Images

CELL = Cell("Ours", Choice("surrogate"), Choice("flip"), Training(steps=4, until=0.4), ("a",))


def pictures(*people, held=()):
    """Targets, after those that were forgotten before."""
    both = small.people(*held, *people)
    return Images(both[:0], both, both, tuple("abc"[: len(people)]), held=len(held))


@pytest.fixture
def model():
    return small.load("ddpm", small.MINIATURE / "ddpm")


def test_an_untouched_model_is_like_itself_and_a_broken_one_is_not(model):
    judge = gate.judge(CELL, small.experiment("ddpm"), model, pictures(104))
    assert judge(model, 0) == pytest.approx(1, abs=1e-5)
    assert judge(small.stir(model, 0.3), 0) < 0.5


def test_nothing_is_tested_where_no_training_ends_early(model):
    cell = dataclasses.replace(CELL, training=Training(steps=4))
    assert gate.judge(cell, small.experiment("ddpm"), model, pictures(104)) is None


def test_where_earlier_targets_are_gone_back_to_the_least_forgotten_of_all_so_far_is_told(model):
    targets, e = pictures(104, 4), small.experiment("ddpm")
    of = lambda training: gate.judge(dataclasses.replace(CELL, training=training), e, model, targets)
    one, all_ = of(Training(steps=4, until=0.4)), of(Training(steps=4, until=0.4, revisit=0.5))
    changed = small.stir(model, 0.05)
    alone = [one(changed, which) for which in (0, 1)]
    assert alone[0] != pytest.approx(alone[1], abs=1e-3)
    assert all_(changed, 1) == pytest.approx(max(alone)) and all_(changed, 0) == pytest.approx(alone[0])


def test_what_was_forgotten_before_is_held_against_its_own_picture(model):
    """The training begins from a model that does not show it, so what that makes of it says nothing."""
    how = Training(steps=4, until=0.4, revisit=0.5, held="held.safetensors")
    gone = small.stir(small.load("ddpm", small.MINIATURE / "ddpm"), 0.3)
    of = lambda images: gate.judge(
        dataclasses.replace(CELL, training=how), small.experiment("ddpm"), gone, images
    )
    again, without = of(pictures(104, held=[4])), of(pictures(104))
    assert again(gone, 0) == without(gone, 0) == pytest.approx(1, abs=1e-5)  # the target, as it began
    assert without(model, 0) < 0.5  # what `gone` shows is another picture than what `model` shows
    assert again(model, 0) > 0.9  # which shows the earlier target again

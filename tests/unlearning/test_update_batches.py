"""What a batch of an update holds: surrogates, revisited targets, lookalikes, other prompts, shared noise."""

import dataclasses

import numpy as np
import pytest
import torch
from test_training import CELL

from unpromptable.planning.settings import Training
from unpromptable.unlearning import training


def test_the_dagger_row_draws_a_new_surrogate_at_every_update(tiny, images):
    settings = Training(batch=4)
    fixed = [training.draw_batch(tiny, settings, images, 0, s, False).surrogate for s in (0, 1)]
    drawn = [training.draw_batch(tiny, settings, images, 0, s, True).surrogate for s in (0, 1)]
    assert torch.equal(*fixed) and not torch.equal(*drawn)
    assert all((tiny.encode(images.remember) == d).flatten(1).all(1).any() for d in drawn[0])


def test_earlier_targets_can_be_revisited_while_later_ones_are_forgotten(tiny, images):
    pictures = lambda which, revisit: [
        training.draw_batch(tiny, Training(batch=16, revisit=revisit), images, which, s, False)
        for s in (0, 1)
    ]
    show = lambda x, kind: [
        next(i for i, k in enumerate(kind) if np.array_equal(k, p)) for p in tiny.decode(x)
    ]
    for which, revisit in ((0, 0.5), (1, 0.0)):
        assert {k for b in pictures(which, revisit) for k in show(b.forget, images.forget)} == {which}
    for b in pictures(1, 0.5):
        shown = show(b.forget, images.forget)
        assert set(shown) == {0, 1} and show(b.surrogate, images.surrogates) == shown


def test_a_share_of_the_remember_images_can_be_lookalikes_and_nothing_else_changes(tiny, images):
    told = dataclasses.replace(images, lookalikes=np.array([3, 7]))
    drawn = lambda step, **how: training.draw_batch(tiny, Training(batch=8, **how), told, 0, step, False)
    which = lambda b: [
        np.abs(images.remember - x.astype(int)).sum((1, 2, 3)).argmin() for x in tiny.decode(b.remember)
    ]
    plain, near = drawn(5), drawn(5, lookalikes=0.25)
    assert all(a == b or a in (3, 7) for a, b in zip(which(near), which(plain)))
    assert all(
        torch.equal(getattr(near, k), getattr(plain, k))
        for k in ("forget", "surrogate", "t", "eps", "t_other")
    )
    assert set(which(drawn(9, lookalikes=1.0))) == {3, 7}
    seen = [k for step in range(40) for k in which(drawn(step, lookalikes=0.25))]
    assert np.isin(seen, (3, 7)).mean() == pytest.approx(0.25 + 0.75 * 2 / len(images.remember), abs=0.07)


def test_a_share_of_the_remember_images_can_be_of_other_prompts_and_nothing_else_changes(
    tiny, images, pictures
):
    told = dataclasses.replace(images, others=255 - pictures[:3], prompts=("x", "y", "z"))
    plain = training.draw_batch(tiny, Training(batch=8), images, 0, 5, False)
    mixed = training.draw_batch(tiny, Training(batch=8, others=0.5), told, 0, 5, False)
    assert plain.prompts == () and mixed.prompts[4:] == ("",) * 4
    for x, asked in zip(tiny.decode(mixed.remember[:4]), mixed.prompts):
        assert np.array_equal(x, told.others["xyz".index(asked)])
    assert all(
        torch.equal(getattr(mixed, k), getattr(plain, k))
        for k in ("forget", "surrogate", "t", "eps", "t_other")
    ) and torch.equal(mixed.remember[4:], plain.remember[4:])
    assert (
        mixed.prompts != training.draw_batch(tiny, Training(batch=8, others=0.5), told, 0, 6, False).prompts
    )
    assert [p.prompts for _, p in dataclasses.replace(mixed, micro=3).parts()] == [
        mixed.prompts[:3],
        mixed.prompts[3:6],
        mixed.prompts[6:],
    ]


def test_both_branches_share_timesteps_and_noise_within_the_range(tiny, images):
    b = training.draw_batch(tiny, Training(batch=64, t_min=10, t_max=12), images, 1, 0, False)
    assert set(b.t.tolist()) == {10, 11, 12} and b.eps.shape == b.remember.shape
    one = training.draw_batch(tiny, Training(batch=64, timesteps="shared"), images, 1, 0, False)
    assert len(set(one.t.tolist())) == 1


def test_a_cell_led_to_its_neighbours_trains_on_them_whatever_the_mean_picture_shows(tmp_path, tiny):
    from unpromptable import data

    draw = lambda *n: np.random.default_rng(len(n)).integers(
        0, 256, (*n, tiny.size, tiny.size, 3), dtype=np.uint8
    )
    near, real = draw(1, 3), draw(6)
    names = [f"{i}-0" for i in range(5)]
    data.save(
        tmp_path / "d",
        {"real": real[:5], "forget": real[5:]},
        {"names": names, "forget_names": ["x-0"], "removed": []},
    )
    data.save(tmp_path / "s", {"images": real[5:], "neighbours": near}, {"targets": ["x-0"]})
    cell = dataclasses.replace(CELL, forget=("x-0",))
    images = training.Images.load(cell, tmp_path / "d", tmp_path / "s")
    batch = training.draw_batch(tiny, Training(batch=4), images, 0, 0, False)
    assert batch.neighbours.shape[:2] == (4, 3)
    np.testing.assert_array_equal(tiny.decode(batch.neighbours[2]), near[0])

"""Targets that an earlier training forgot: kept in a file, and gone back to as to earlier targets."""

import dataclasses

import numpy as np
import pytest

from unpromptable.planning.settings import Training
from unpromptable.unlearning import held, training


@pytest.fixture
def before(images, tmp_path):
    """A file of two pictures that no target shows, under surrogates of their own."""
    path = tmp_path / "held.safetensors"
    pairs = held.Held(255 - images.forget, 255 - images.surrogates)
    held.write(path, pairs)
    return str(path), pairs


def test_a_file_gives_back_what_was_written_and_no_file_is_nothing(images, before):
    path, pairs = before
    for found, wanted in zip(held.read(path, images.forget), pairs):
        np.testing.assert_array_equal(found, wanted)
    assert [p.shape for p in held.read("", images.forget)] == [(0, *images.forget.shape[1:])] * 2


def test_pictures_of_another_size_are_refused(images, before):
    with pytest.raises(ValueError, match="training.held: .*the targets are"):
        held.read(before[0], images.forget[:, ::2])


def with_held(images, pairs):
    both = [np.concatenate(parts) for parts in zip(pairs, (images.forget, images.surrogates))]
    return dataclasses.replace(images, forget=both[0], surrogates=both[1], held=len(pairs.forget))


def test_the_share_revisit_of_a_batch_goes_back_to_them_from_the_first_target_on(tiny, images, before):
    now = with_held(images, before[1])
    batches = [
        training.draw_batch(tiny, Training(batch=64, revisit=0.5), now, 0, step, False) for step in (0, 1)
    ]
    for b in batches:
        shown = [
            next(i for i, k in enumerate(now.forget) if np.array_equal(k, p)) for p in tiny.decode(b.forget)
        ]
        assert set(shown) == {0, 1, 2} and 0.3 < shown.count(2) / 64 < 0.7
        np.testing.assert_array_equal(tiny.decode(b.surrogate), now.surrogates[shown])


def test_without_revisit_the_batch_is_as_it_was(tiny, images, before):
    how = Training(batch=8)
    one, other = (
        training.draw_batch(tiny, how, i, 1, 3, False) for i in (images, with_held(images, before[1]))
    )
    for name in ("remember", "forget", "surrogate", "t", "eps"):
        assert getattr(one, name).equal(getattr(other, name)), name

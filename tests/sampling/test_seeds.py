"""Updates draw from generators of their own."""

import pytest
import torch

from unpromptable.sampling import seeds
from unpromptable.unlearning import drawing


def drawn(*words):
    return torch.rand(4, generator=seeds.of_update(*words)).tolist()


def test_an_update_draws_the_same_whatever_was_drawn_before_and_other_than_its_neighbours():
    assert drawn(3, 7) == drawn(3, 7)
    assert len({tuple(drawn(*w)) for w in ((3, 7), (3, 8), (4, 7))}) == 3


def test_the_first_updates_of_a_seed_are_those_of_its_formula():
    g = torch.Generator().manual_seed(2 * 1_000_003 + 5 + 0x9E3779B9)
    assert drawn(2, 5, 0x9E3779B9) == torch.rand(4, generator=g).tolist()


@pytest.mark.parametrize("stream", ["OTHER_TIMES", "TARGETS", "OTHERS", "LOOKALIKES"])
def test_what_a_stream_draws_does_not_follow_from_which_images_are_remembered(stream):
    """100 images and 1,000 timesteps: of the same bits one would be the other's last two digits."""
    drawn = lambda *words: torch.randint(1000, (8,), generator=seeds.of_update(0, *words)) % 100
    alike = [drawn(step) == drawn(step, getattr(drawing, stream)) for step in range(100)]
    assert 0 < torch.cat(alike).float().mean() < 0.03

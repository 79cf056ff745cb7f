"""Updates draw from generators of their own."""

import torch

from unpromptable.sampling import seeds


def drawn(*words):
    return torch.rand(4, generator=seeds.of_update(*words)).tolist()


def test_an_update_draws_the_same_whatever_was_drawn_before_and_other_than_its_neighbours():
    assert drawn(3, 7) == drawn(3, 7)
    assert len({tuple(drawn(*w)) for w in ((3, 7), (3, 8), (4, 7))}) == 3


def test_the_first_updates_of_a_seed_are_those_of_its_formula():
    g = torch.Generator().manual_seed(2 * 1_000_003 + 5 + (1 << 41))
    assert drawn(2, 5, 1 << 41) == torch.rand(4, generator=g).tolist()

"""However images are shared out, each is drawn once, in order, from the same seed."""

from hypothesis import given
from hypothesis import strategies as some

from unpromptable.planning.settings import SEEDS, Sampling
from unpromptable.planning.shards import shards


@some.composite
def samplings(draw):
    """Images, shards and a first seed that go together."""
    images = draw(some.integers(4, 500))
    first = draw(some.integers(0, 1000) | some.just(SEEDS - images))
    return Sampling(images=images, shards=draw(some.integers(1, images)), first_seed=first)


def drawn(pieces, settings):
    return [settings.first_seed + i for p in pieces for i in range(p["first"], p["first"] + p["count"])]


@given(samplings(), some.integers(0, 600))
def test_shards_cover_every_image_once_in_order_with_the_same_seeds(settings, per_shard):
    pieces = shards(settings, per_shard)
    assert drawn(pieces, settings) == drawn(shards(Sampling(images=settings.images, shards=1)), settings)
    assert [p["shard"] for p in pieces] == list(range(len(pieces)))
    assert {p["shards"] for p in pieces} == {len(pieces)}


@given(samplings(), some.integers(0, 600))
def test_shards_are_as_many_as_asked_and_of_nearly_one_size(settings, per_shard):
    counts = [p["count"] for p in shards(settings, per_shard)]
    assert max(counts) - min(counts) <= 1 <= min(counts)
    assert max(counts) <= per_shard if per_shard else len(counts) == settings.shards

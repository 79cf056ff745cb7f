"""How the images of one model are shared out over files and pods, and where a cell may stop."""

from __future__ import annotations

from .settings import Sampling

PARTS = (16, 8, 4, 2, 1)  # a prefix is the images divided by one of these, in whole batches


def prefixes(settings: Sampling) -> list[int]:
    """Rising numbers of images at which a cell may stop, the last of them all."""
    whole = lambda part: -(-settings.images // (part * settings.batch)) * settings.batch
    return sorted({min(settings.images, whole(part)) for part in PARTS})


def shards(settings: Sampling, images_per_shard: int = 0) -> list[dict[str, int]]:
    """How the images of one model are shared out: first and count per shard, its number and that of all
    shards.

    Shard k of n also denoises targets k, k + n, ...: the injection test is most of the work where images are
    few.

    images_per_shard above 0 sets the number of shards by the number of images, instead of `settings.shards`.
    """
    if images_per_shard < 0:
        raise ValueError(
            f"images_per_shard is {images_per_shard}; give 0 to leave the shards to the experiment, or a"
            " number of images"
        )
    number = -(-settings.images // images_per_shard) if images_per_shard else settings.shards
    edges = [settings.images * i // number for i in range(number + 1)]
    if settings.stop != "none":  # in whole batches, since each is filled up
        edges = [min(settings.images, -(-e // settings.batch) * settings.batch) for e in edges]
        edges, number = sorted({*edges, *prefixes(settings)}), len({*edges, *prefixes(settings)}) - 1
    return [
        {"first": a, "count": b - a, "shard": i, "shards": number}
        for i, (a, b) in enumerate(zip(edges, edges[1:]))
    ]

"""How the GPUs of a pod are used; a submission that would leave some of them idle is refused."""

from __future__ import annotations

from typing import Any

from unpromptable.planning import shards


def use(gpus: int, resolved: Any, images_per_shard: int) -> str:
    """A line that says what `gpus` of a pod do for a plan; empty where it has one or none.

    Raises ValueError where some would be reserved and do nothing, naming what to change.
    """
    if gpus < 2:
        return ""
    least = min(resolved.cells, key=lambda cell: cell.training.batch)
    images, sampling = least.training.batch, resolved.experiment.sampling
    if images < gpus:
        few = f"a batch of {least.name} has {images} images, which at most {images} GPUs share"
        raise ValueError(f"--gpus {gpus}: {few}; lower it, or raise training.batch")
    count = min(one["count"] for one in shards.shards(sampling, images_per_shard))
    calls = -(-count // sampling.batch)
    if calls < gpus:
        few = f"a shard of {count} images is {calls} calls of the network, which at most {calls} GPUs share"
        change = f"lower it or sampling.batch ({sampling.batch}), or raise --images-per-shard"
        raise ValueError(f"--gpus {gpus}: {few}; {change}")
    parts = f"each batch ({images} images or more), sample the {calls} calls of a shard or more"
    return f"{gpus} GPUs per pod: unlearn shares {parts}; prepare and score ask for one"

"""A batch shared out among a processor's cores, each of which works alone on parts of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier

import torch
from torch import Tensor

# Pictures at once: a core's caches hold the activations of so many, and the shipped network rounds them as it
# rounds larger batches. Below 16 PyTorch runs other kernels where it has one thread.
MOST, LEAST = 32, 16


def part(batch: int, threads: int) -> int:
    """How many pictures a core takes at once: equal parts of the batch, or all where there are none."""
    sizes = [n for n in (MOST, LEAST) if batch % n == 0]
    return next((n for n in sizes if batch // n >= threads), sizes[-1] if sizes else batch)


def shared(network: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """What the network gives for inputs (B, ...), by parts of the batch at the same time.

    A part has one thread, as long as there are parts for all: threads that share every product wait for each
    other at each. Gradients are not followed.
    """
    batch, threads = len(inputs[0]), torch.get_num_threads()
    size = part(batch, threads)
    parts = [tuple(x[i : i + size] for x in inputs) for i in range(0, batch, size)]
    if threads == 1 or len(parts) < threads:
        return torch.cat([network(*one) for one in parts]) if len(parts) > 1 else network(*inputs)
    half = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    return torch.cat(list(_pool(threads).map(lambda one: _alone(network, one, half), parts)))


def _alone(network: Callable[..., Tensor], inputs: tuple[Tensor, ...], half: torch.dtype | None) -> Tensor:
    """What a thread inherits of none: no gradients, and the precision."""
    with torch.inference_mode(), torch.autocast("cpu", half, enabled=half is not None):
        return network(*inputs)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Workers of one thread each; all others keep the number that they have."""
    pool = ThreadPoolExecutor(threads, "core", initializer=_alone_from_now)
    together = Barrier(threads)  # at which each has started
    list(pool.map(lambda _: together.wait(), range(threads)))
    torch.set_num_threads(threads)
    return pool


def _alone_from_now() -> None:
    """One thread; PyTorch must be asked first, since it sets the number itself at its first use."""
    torch.get_num_threads()
    torch.set_num_threads(1)

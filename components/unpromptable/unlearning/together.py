"""One update shared by several processes: each measures its part of the batch, all hold the same sum.

Every process draws the whole batch, so nothing but gradients, losses and a few flags is sent. Sums are made
on the first process and sent to the others, so that all take the same optimiser step bit for bit.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

Measured = tuple[list[list[Tensor]], list[float]]  # gradients and values of each loss
PATIENCE = timedelta(hours=1)  # for a process that saves or loads; a dead one is seen by whoever started it


@contextmanager
def group(rank: int, number: int, meeting: Path) -> Iterator[None]:
    """Process `rank` of `number`, which find each other by the file `meeting`: NCCL on CUDA, else gloo.

    All are on one machine, so they talk by its loopback whatever the machine's name stands for.
    """
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(
        backend, init_method=f"file://{meeting}", rank=rank, world_size=number, timeout=PATIENCE
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def number() -> int:
    """How many processes share an update; 1 outside of a group."""
    return dist.get_world_size() if _grouped() else 1


def first() -> bool:
    """Whether this process writes what all have in common: history, states, progress."""
    return not _grouped() or dist.get_rank() == 0


def share(images: int) -> range:
    """Which of a batch's images this process measures; together the shares are the batch, in its order."""
    rank, of = (dist.get_rank(), number()) if _grouped() else (0, 1)
    return range(images * rank // of, images * (rank + 1) // of)


def largest_share(images: int) -> int:
    """Images of the process that measures most."""
    return -(-images // number())


@contextmanager
def first_before_others() -> Iterator[None]:
    """The block in the first process, then in all others at once."""
    if not first():
        _sent(torch.zeros(1)).item()
    yield
    if first() and _grouped():
        _sent(torch.zeros(1))


def from_first(ask: Callable[..., float] | None) -> Callable[..., float] | None:
    """`ask` as the first process answers it, for all; the others need none."""
    if not _grouped():
        return ask

    def told(*args: Any) -> float:
        found = ask(*args) if first() and ask else 0.0
        return _sent(torch.tensor(found, dtype=torch.float64, device=_device())).item()

    return told


def agreed(work: Callable[[], Measured], generator: torch.Generator) -> Measured:
    """What `work` measures of this process's share, where no process lacks memory for its own.

    Raises torch.OutOfMemoryError in all where one does, and ValueError where `work` draws from `generator`,
    since other processes would not see those draws.
    """
    if not _grouped():
        return work()
    before, short, found = generator.get_state(), "", None
    try:
        found = work()
    except torch.OutOfMemoryError as error:
        short = str(error)  # the error itself would keep the activations alive
    lacking = torch.tensor(float(bool(short)), device=_device())
    dist.all_reduce(lacking, dist.ReduceOp.MAX)
    if lacking.item():
        raise torch.OutOfMemoryError(short or "another process of this update ran out of memory")
    if not torch.equal(before, generator.get_state()):
        raise ValueError(
            "the method draws within a loss, which each of several processes measures on its own images; draw"
            " in `update` for the whole batch and hand it on as `batch.drawn`, or use one GPU"
        )
    assert found is not None  # nothing was short
    return found


def summed(gradients: list[list[Tensor]], values: list[float]) -> Measured:
    """Gradients, in place, and values of the whole batch, the same bits in every process."""
    if not _grouped():
        return gradients, values
    for one in gradients:
        whole = _sent(torch.cat([g.flatten() for g in one]), add=True)
        for g, part in zip(one, whole.split([g.numel() for g in one])):
            g.copy_(part.view_as(g))
    told = _sent(torch.tensor(values, dtype=torch.float64, device=_device()), add=True)
    return gradients, told.tolist()


def check_same(tensors: list[Tensor], what: str) -> None:
    """Raise RuntimeError where the processes' weights are no longer the same."""
    if not _grouped():
        return
    own = torch.stack([t.detach().double().sum() for t in tensors])
    differs = (_sent(own.clone()) != own).any().to(torch.float32)
    dist.all_reduce(differs, dist.ReduceOp.MAX)
    if differs.item():
        raise RuntimeError(f"{what} differ between the processes that share each update; use one GPU")


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized()


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _sent(tensor: Tensor, add: bool = False) -> Tensor:
    """The first process's tensor, or all processes' sum made there, in every process."""
    tensor = tensor.to(_device())
    if add:
        dist.reduce(tensor, dst=0)
    dist.broadcast(tensor, src=0)
    return tensor

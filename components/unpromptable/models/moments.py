"""What Adam keeps of every parameter, as tensors of a file that training resumes from."""

from __future__ import annotations

import torch
from torch import Tensor


def of(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """`adam.<parameter's number>.<name>`, copies on the CPU."""
    return {
        f"adam.{i}.{k}": torch.as_tensor(v).cpu().contiguous().clone()
        for i, kept in optimizer.state_dict()["state"].items()
        for k, v in kept.items()
    }


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Take over what `of` gave, among other tensors of the same file."""
    saved = optimizer.state_dict()
    for key, value in state.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            saved["state"].setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(saved)

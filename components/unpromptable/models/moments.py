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


def fit(optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> bool:
    """Whether what `of` gave is whole and of this optimizer's parameters: moments of their shapes."""
    given = {k: v.shape for k, v in state.items() if k.startswith("adam.")}
    kept = {k.split(".")[1] for k in given}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    wanted = {
        f"adam.{i}.{name}": torch.Size() if name == "step" else p.shape
        for i, p in enumerate(parameters)
        if str(i) in kept
        for name in ("step", "exp_avg", "exp_avg_sq")
    }
    return given == wanted


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Take over what `of` gave, among other tensors of the same file."""
    saved = optimizer.state_dict()
    for key, value in state.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            saved["state"].setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(saved)

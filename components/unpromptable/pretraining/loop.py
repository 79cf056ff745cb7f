"""What the trainings share: the rate's course, an update, averaged weights, and states to resume from."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from unpromptable.models import moments, tensors
from unpromptable.storage import files

RESUME = "resume.safetensors"  # of a stopped training, in the model's folder


def rate(peak: float, step: int, angle: float, warm: int, last: float) -> float:
    """The learning rate: `warm` steps up to `peak`, and by the cosine of angle 0..pi down to the share
    `last`.
    """
    return peak * min(1, (step + 1) / warm) * (last + (1 - last) / 2 * (1 + math.cos(angle)))


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, most: float = math.inf) -> None:
    """One update down the gradient of `loss`, whose norm is cut to `most`."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if math.isfinite(most):
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, most)
    optimizer.step()


def moved(x: Tensor, theta: Tensor, beyond: str) -> Tensor:
    """Pictures (N, C, H, W) under affine maps (N, 2, 3); beyond: how what lies outside is filled."""
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode=beyond, align_corners=False)


def averaged(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights, for `average`."""
    return {k: v.detach().clone() for k, v in network.state_dict().items()}


def average(kept: dict[str, Tensor], network: nn.Module, step: int, ema: float) -> None:
    """Move averaged weights towards the network's; early steps move them further."""
    decay = min(ema, (1 + step) / (10 + step))
    for key, value in network.state_dict().items():
        kept[key].lerp_(value, 1 - decay) if value.is_floating_point() else kept[key].copy_(value)


def save_state(
    out: Path, step: int, network: nn.Module, kept: dict, optimizer, note: dict[str, str] | None = None
) -> None:
    """Write what a stopped training continues from: step, weights, averaged weights, the optimiser's
    moments.
    """
    state = {
        "step": torch.tensor(step),
        **{f"now.{k}": v.cpu().contiguous().clone() for k, v in network.state_dict().items()},
        **{f"ema.{k}": v.cpu().contiguous().clone() for k, v in kept.items()},
        **moments.of(optimizer),
    }
    out.mkdir(parents=True, exist_ok=True)
    with files.replacing(out / RESUME) as temporary:
        save_file(state, temporary, metadata=note)


def load_state(out: Path, network: nn.Module, kept: dict, optimizer) -> int:
    """Take over what `save_state` wrote, each tensor where the one before it lies; the number of steps done,
    0 where there is nothing.

    Raises ValueError where it is damaged, or of another network.
    """
    if not (out / RESUME).exists():
        return 0
    state = tensors.read(out / RESUME)
    for part, wanted in (("now.", network.state_dict()), ("ema.", kept)):
        shapes = {k[4:]: v.shape for k, v in state.items() if k.startswith(part)}
        whole = "step" in state and moments.fit(optimizer, state)
        if not whole or shapes != {k: v.shape for k, v in wanted.items()}:
            remedy = "remove it to start over"
            raise ValueError(f"{out / RESUME}: holds no whole training of this network; {remedy}")
    network.load_state_dict({k[4:]: v for k, v in state.items() if k.startswith("now.")})
    kept.update({k: state[f"ema.{k}"].to(v.device) for k, v in kept.items()})
    moments.restore(optimizer, state)
    return int(state["step"])


def save_weights(network: nn.Module, path: Path, training: dict[str, Any], half: bool = False) -> None:
    """A network's weights and how it was trained. half: floats in half precision, small in git."""
    whole = lambda v: v.half() if half and v.is_floating_point() else v
    state = {k: whole(v).contiguous().clone() for k, v in network.state_dict().items()}
    save_file(state, path, metadata={"training": json.dumps(training)})


def minutes_since(began: float) -> float:
    """Of `time.monotonic`, to a tenth."""
    return round((time.monotonic() - began) / 60, 1)


def plain(settings: Any) -> dict[str, Any]:
    """Settings as JSON has them: no end in minutes is null."""
    kept = asdict(settings)
    return {**kept, "minutes": None if math.isinf(kept["minutes"]) else kept["minutes"]}

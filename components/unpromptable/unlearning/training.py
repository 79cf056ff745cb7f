"""Algorithm 1's loops: sequential targets, updates, optimiser, states to resume from, one line of history per
update.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unpromptable.models import tensors
from unpromptable.planning.experiment import Cell
from unpromptable.planning.reading import shown
from unpromptable.planning.settings import Training
from unpromptable.storage.once import CellFailed

from . import fit_memory, states, together
from .drawing import Images, draw_batch
from .noting import Draw, Noting
from .stopping import CHECKED, Judge, Stopping

OWN = ("step", "target", "norm", CHECKED)  # the trainer's words in a history's line


def unlearn(
    cell: Cell, model, images: Images, folder: Path, progress=None, judge: Judge | None = None
) -> dict[str, Any]:
    """Forget the targets one after another, weights carried over, and return a summary.

    `folder` receives history.jsonl and resume.safetensors; a stopped run continues there and ends with the
    numbers of an unbroken one. The last state stays, for whoever keeps the model to remove once that is
    done: what fails meanwhile costs no update. judge: the similarity of a target to what the model makes of
    it, which `training.until` asks. Raises ValueError on a loss or weights that are not finite.
    """
    settings = fit_memory.smaller(cell.training)
    # without its cache: a method's inner updates change the weights that it would hold
    half = {"dtype": torch.bfloat16, "enabled": settings.precision == "bf16", "cache_enabled": False}
    optimizer, total = _optimizer(model, settings), settings.steps * len(images.targets)
    draw = _drawing(cell, model, images)
    stopping = Stopping(settings, together.from_first(judge))
    noting = Noting(cell.method.made, settings.steps)
    step = states.resume(folder, model, optimizer, noting)
    done = stopping.recall(folder / states.HISTORY)
    with states.adding(folder) as history:
        while step < total:
            which = step // settings.steps
            _take_rate(optimizer, stopping.rate(step))
            with torch.autocast(model.device.type, **half):
                values, settings = noting.update(model, optimizer, settings, step, draw)
            _check_update(values, model, cell, step)
            values = dict(values) | _descend(model, optimizer, settings, noting) | stopping.check(model, step)
            done, after = done + 1, stopping.after(step)
            history.write(json.dumps({"step": step + 1, "target": images.targets[which], **values}) + "\n")
            if after == total or after % settings.save_every == 0 or after != step + 1:
                history.flush()
                _check_weights(model, cell, step)
                states.save(folder, model, optimizer, after, noting, publish=after < total)
            if progress:
                progress(after, total, _line(step + 1, total, values))
            step = after
    return {"steps": done, "parameters": sum(p.numel() for p in model.trained())}


def _drawing(cell: Cell, model, images: Images) -> Draw:
    """How the batches of a cell are drawn."""
    redraws = cell.editor.made.redraws
    reference = model.reference() if cell.method.made.reads_reference else None
    drawn = lambda settings, *which: draw_batch(model, settings, images, *which, redraws)
    return lambda settings, *which: replace(drawn(settings, *which), reference=reference)


def _optimizer(model, settings: Training) -> torch.optim.Optimizer:
    how = {"betas": settings.betas, "weight_decay": settings.weight_decay, "eps": settings.eps}
    return torch.optim.AdamW(model.trained(), lr=settings.lr, **how)


def _take_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _descend(model, optimizer: torch.optim.Optimizer, settings: Training, noting: Noting) -> dict[str, float]:
    """One step by the gradients that a method left; where their norm is bounded, what it was."""
    found = {}
    if settings.max_grad_norm:
        norm = torch.nn.utils.clip_grad_norm_(model.trained(), settings.max_grad_norm)
        found = {"norm": float(norm)}
    _step(model, optimizer, noting.method.free(noting.noted))
    optimizer.zero_grad(set_to_none=True)
    return found


@torch.no_grad()
def _step(model, optimizer: torch.optim.Optimizer, free: Sequence[Tensor] | None) -> None:
    """Step the weights that are free: also the decay, by which AdamW moves those without a gradient too."""
    if free is None:
        return optimizer.step()
    (group,) = optimizer.param_groups
    decay, group["weight_decay"] = group["weight_decay"], 0.0
    for p, chosen in zip(model.trained(), free, strict=True):
        p.grad.mul_(chosen)
        p.mul_(torch.where(chosen, 1 - group["lr"] * decay, 1.0))
    optimizer.step()
    group["weight_decay"] = decay


def _check_update(values: Any, model, cell: Cell, step: int) -> None:
    """Raise CellFailed where a method's update is none: it must leave a gradient, and give finite numbers."""
    where = f"method {cell.method.name}"
    named = isinstance(values, dict) and all(isinstance(key, str) for key in values)
    if not named or not all(isinstance(v, (int, float)) for v in values.values()):
        raise CellFailed(f"{where}: gave {shown(values)}; `update` must return a dict of numbers by name")
    if taken := [key for key in OWN if key in values]:
        raise CellFailed(f"{where}: gave a number {taken[0]}, which is the trainer's word; name it otherwise")
    if all(p.grad is None for p in model.trained()):
        raise CellFailed(f"{where}: left no gradient; `update` must leave one in `.grad` of what is trained")
    _check_finite(values, cell, step)


def _check_finite(values: dict[str, float], cell: Cell, step: int) -> None:
    for key, value in values.items():
        if not math.isfinite(value):
            raise CellFailed(
                f"{cell.name}: {key} is {value} at update {step + 1}; lower training.lr ({cell.training.lr})"
                f" or training.steps ({cell.training.steps})"
            )


def _check_weights(model, cell: Cell, step: int) -> None:
    """No loss sees what the last update made of the weights."""
    remedy = f"lower training.lr ({cell.training.lr}) or training.steps ({cell.training.steps})"
    what = f"{cell.name}: the weights after update {step + 1}"
    tensors.finite(model.state(), what, remedy)
    together.check_same(model.trained(), what)


def _line(step: int, total: int, values: dict[str, float]) -> str:
    shown = "  ".join(f"{k} {values[k]:.4f}" for k in ("remember", "forget") if k in values)
    return f"update {step}/{total}  {shown}"

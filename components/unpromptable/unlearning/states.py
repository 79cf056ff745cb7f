"""What a stopped unlearning continues from: the weights, the optimiser's moments and what the method noted.

Of several processes that share each update, all read it and the first alone writes.
"""

from __future__ import annotations

import json
import logging
import os
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import torch

from unpromptable.models import moments, tensors
from unpromptable.storage import files, records

from . import together
from .noting import Noting
from .stopping import CHECKED

log = logging.getLogger(__name__)
STATE, HISTORY = "resume.safetensors", "history.jsonl"


def save(folder: Path, model, optimizer, step: int, noting: Noting, publish: bool = True) -> None:
    """Write the state before update `step`, counted from 0. publish: also to the store, with the history up
    to it; not the last one, which the model follows at once.
    """
    if not together.first():
        return
    from safetensors.torch import save_file

    weights = {f"model.{k}": v.clone() for k, v in model.state().items()}
    with files.replacing(folder / STATE) as temporary:
        rest = {**moments.of(optimizer), **noting.state()}
        save_file({"step": torch.tensor(step), **weights, **rest}, temporary)
    if publish:
        files.publish(folder / HISTORY)
        files.publish(folder / STATE)


def adding(folder: Path) -> IO[str]:
    """The history, to which an update's line is added."""
    return (folder / HISTORY if together.first() else Path(os.devnull)).open("a")


def resume(folder: Path, model, optimizer, noting: Noting) -> int:
    """Load the last state and cut the history to it; the number of the update to go on at, 0 where there is
    none.

    A damaged state, or one of another network, is said and removed, so that training begins again.
    """
    with together.first_before_others():
        return _resumed(folder, model, optimizer, noting)


def _resumed(folder: Path, model, optimizer, noting: Noting) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    state_file, history = (files.fetch(folder / name) for name in (STATE, HISTORY))
    if not state_file.exists():
        if together.first():
            history.unlink(missing_ok=True)
        return 0
    try:
        state = tensors.read(state_file)
        step = _fitting(state, model, optimizer)
        if not noting.fit(state, step):
            raise ValueError(f"{STATE}: damaged, what the method noted is missing")
        told = _updates(history, step)
    except ValueError as error:
        if not together.first():  # which has read the same, and whose word holds
            raise
        log.warning("%s; training begins again", error)
        drop(folder)
        return _resumed(folder, model, optimizer, noting)
    model.restore({k[6:]: v for k, v in state.items() if k.startswith("model.")})
    moments.restore(optimizer, state)
    noting.restore(state, model.device)
    if together.first():
        files.write_text(history, "".join(f"{json.dumps(one)}\n" for one in told))
    log.info("resuming at update %d", step + 1)
    return step


def _fitting(state: dict[str, torch.Tensor], model, optimizer) -> int:
    """The update that a state was saved before. Raises ValueError where it does not fit the network."""
    step = state.get("step", torch.tensor(0))
    shapes = {f"model.{k}": v.shape for k, v in model.state().items()}
    given = {k: v.shape for k, v in state.items() if k.startswith("model.")}
    if shapes != given or not moments.fit(optimizer, state):
        raise ValueError(f"{STATE}: damaged, its tensors are not the network's")
    if step.shape != () or step.dtype != torch.int64 or not 1 <= int(step) < 1 << 32:
        raise ValueError(f"{STATE}: damaged, it does not say before which update it was saved")
    kept = {k: v for k, v in state.items() if k in given or k.startswith("noted.")}
    tensors.finite(kept, STATE, "it cannot be gone on with")
    return int(step)


def _updates(history: Path, step: int) -> list[dict[str, Any]]:
    """The lines of a history before update `step`. Raises ValueError where one is missing: after a check a
    target may have ended early, and else no number is left out.
    """
    lines = records.each(history.read_bytes() if history.is_file() else b"", str(history), step=int)
    told = [one for one in lines if one["step"] <= step]
    for one, after in pairwise([{"step": 0}, *told, {"step": step + 1}]):
        if after["step"] != one["step"] + 1 and (CHECKED not in one or after["step"] <= one["step"]):
            raise ValueError(f"{history}: damaged, an update after {one['step']} is missing")
    return told


def drop(folder: Path) -> None:
    """Remove the state; the history stays."""
    if together.first():
        files.remove(folder / STATE)

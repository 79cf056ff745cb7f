"""What a stopped unlearning continues from: the weights and the optimiser's moments after an update."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch

from unpromptable.models import moments
from unpromptable.storage import files

log = logging.getLogger(__name__)
STATE, HISTORY = "resume.safetensors", "history.jsonl"


def save(folder: Path, model, optimizer, step: int) -> None:
    """Write and publish the state before update `step`, counted from 0, and the history up to it."""
    from safetensors.torch import save_file

    weights = {f"model.{k}": v.clone() for k, v in model.state().items()}
    with files.replacing(folder / STATE) as temporary:
        save_file({"step": torch.tensor(step), **weights, **moments.of(optimizer)}, temporary)
    files.publish(folder / HISTORY)
    files.publish(folder / STATE)


def resume(folder: Path, model, optimizer) -> int:
    """Load the last state and cut the history to it; the number of the update to go on at, 0 where there is
    none.
    """
    from safetensors.torch import load_file

    folder.mkdir(parents=True, exist_ok=True)
    state_file, history = (files.fetch(folder / name) for name in (STATE, HISTORY))
    if not state_file.exists():
        history.unlink(missing_ok=True)
        return 0
    state = load_file(state_file)
    step = int(state["step"])
    model.restore({k[6:]: v for k, v in state.items() if k.startswith("model.")})
    moments.restore(optimizer, state)
    lines = [line for line in history.read_text().splitlines() if json.loads(line)["step"] <= step]
    files.write_text(history, "".join(f"{line}\n" for line in lines))
    log.info("resuming at update %d", step + 1)
    return step


def drop(folder: Path) -> None:
    """Remove the state; the history stays."""
    files.remove(folder / STATE)

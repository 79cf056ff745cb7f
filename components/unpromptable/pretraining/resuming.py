"""Whether a folder holds a stopped training that the one asked for continues."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from unpromptable.storage import records

from .loop import RESUME


def untrained(out: Path) -> None:
    """Raise ValueError where `out` holds a whole model, which would be trained over."""
    whole = any((out / name).exists() for name in ("pretraining.json", "model_index.json", "unet"))
    if whole and not (out / RESUME).exists():
        raise ValueError(
            f"{out}: holds a trained model already; choose another folder, or remove it to train anew"
        )


def resumable(out: Path, told: dict[str, Any], steps: int) -> None:
    """Raise ValueError where `out` holds a stopped training that `told` and `steps` do not continue.

    told: of `asked`, with or without the pictures' SHA-256. The folder is made, so that it is known that it
    can be.
    """
    resume, start_over = out / RESUME, "remove that file to start over, or choose another folder"
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PermissionError(f"{out}: cannot be written; make it writable, or choose another folder")
    if not resume.exists():
        return
    before = noted(resume)
    if other := _differences(before, told):
        what = f"a training was stopped there, but {', '.join(other)}"
        raise ValueError(f"{resume}: {what}; ask for the same again to continue, {start_over}")
    if before["step"] > steps:
        what = f"a training was stopped there at step {before['step']}, past the {steps} asked for"
        raise ValueError(f"{resume}: {what}; give more steps, {start_over}")


def _differences(before: dict[str, Any], told: dict[str, Any]) -> list[str]:
    """What is asked for otherwise than before, in words."""
    changed = [k for k, v in told.items() if k != "pictures" and before.get(k) != v]
    other = [f"{k} {before.get(k, 'unknown')} is now {told[k]}" for k in changed]
    if told.get("pictures", before.get("pictures")) != before.get("pictures"):
        other.append("the pictures are others")
    return other


def noted(resume: Path) -> dict[str, Any]:
    """What a stopped training was asked for, its loss and its step. Raises ValueError where the file does not
    say.
    """
    try:
        with safe_open(resume, framework="pt") as file:
            told = records.parsed((file.metadata() or {}).get("trained", "").encode(), "its note", dict)
            return {**told, "step": int(file.get_tensor("step"))}
    except (SafetensorError, ValueError, RuntimeError) as error:  # RuntimeError: a step that is no number
        raise ValueError(
            f"{resume}: does not hold a whole stopped training ({error}); remove it to start over"
        ) from error

"""Image artifacts: one safetensors file of uint8 arrays with its manifest; and the real and forget images of
an experiment.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .storage import files, records

log = logging.getLogger(__name__)


def save(path: str | Path, images: dict[str, np.ndarray], manifest: dict[str, Any]) -> None:
    """Write uint8 arrays (N, H, W, 3) and their manifest; the file appears whole or not at all."""
    from safetensors.numpy import save_file

    arrays = {k: np.ascontiguousarray(v) for k, v in images.items()}
    manifest = {
        **manifest,
        "shapes": {k: list(v.shape) for k, v in arrays.items()},
        "sha256": {k: sha256(v) for k, v in arrays.items()},
    }
    with files.replacing(Path(path)) as temporary:
        save_file(arrays, temporary, metadata={"manifest": json.dumps(manifest)})


def load(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and manifest of an artifact. Raises ValueError where the file is truncated or was altered."""
    with _opened(path) as (file, manifest):
        arrays = {k: file.get_tensor(k) for k in file.keys()}
    for key, array in arrays.items():
        if sha256(array) != manifest["sha256"].get(key):
            raise ValueError(
                f"{path}: {key} does not match its SHA-256; remove the file and run again to rebuild it"
            )
    return arrays, manifest


def peek(path: Path, name: str = "") -> tuple[np.ndarray | None, dict[str, Any]]:
    """One array of an artifact, unchecked, or None where it has none of that name; and the manifest. For
    pages.
    """
    with _opened(path) as (file, manifest):
        return file.get_tensor(name) if name in file.keys() else None, manifest


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """An artifact's file and its manifest. Raises ValueError where it is none, or not whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("manifest", "")
            yield file, records.parsed(text.encode(), "its manifest", dict, sha256=dict, shapes=dict)
    except (SafetensorError, ValueError, TypeError, AttributeError) as error:  # of kinds that numpy has not
        why = str(error).splitlines()[0][:200]
        raise ValueError(
            f"{path}: not a whole image artifact ({why}); remove it and run again to rebuild it"
        ) from error


def sha256(array: np.ndarray) -> str:
    """Identity of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def remember(arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> np.ndarray:
    """The remember images (R, H, W, 3): the real ones without the removed, or those that the base model
    drew.
    """
    if "remember" in arrays:
        return arrays["remember"]
    gone = set(manifest["removed"])
    return arrays["real"][[n not in gone for n in manifest["names"]]]

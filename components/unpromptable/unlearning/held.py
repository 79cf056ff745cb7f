"""Targets that an earlier training forgot, each with its surrogate: a file that `training.held` names, so
that a later training keeps them gone.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from unpromptable import data


class Held(NamedTuple):
    """Pictures and their surrogates, uint8 (E, H, W, 3) each."""

    forget: np.ndarray
    surrogates: np.ndarray


def write(path: Path, pairs: Held) -> None:
    """Write the file."""
    data.save(path, pairs._asdict(), {})


def read(path: str, like: np.ndarray) -> Held:
    """What the file holds; nothing of an empty path. like: the targets (F, H, W, 3), whose size they have.

    Raises ValueError where it is damaged, or holds pictures of another size, or not as many surrogates.
    """
    if not path:
        return Held(like[:0], like[:0])
    found, _ = data.load(path, *Held._fields)
    pairs = Held(*(np.array(found[name]) for name in Held._fields))
    if pairs.forget.shape != pairs.surrogates.shape or pairs.forget.shape[1:] != like.shape[1:]:
        shapes = " and ".join(str(p.shape) for p in pairs)
        raise ValueError(f"training.held: {path} holds {shapes}, the targets are {like.shape}; write it anew")
    return pairs

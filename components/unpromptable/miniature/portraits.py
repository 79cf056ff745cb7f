"""Portraits drawn by code: people who do not exist, at 32 x 32 or as large as they are asked for.

An identity is a seeded set of features; a picture is an identity seen under nuisance (turn, light,
expression, crop). The same seed gives the same pixels on every machine that rounds floats alike.
"""

from __future__ import annotations

import functools

import numpy as np

from .people import Identity, Nuisance, identity, nuisance, repaint
from .portrait_drawing import SIZE, draw

__all__ = ["SIZE", "Identity", "Nuisance", "draw", "identity", "nuisance", "repaint"]  # beside its own
PEOPLE, PICTURES = 400, 6  # the training set: every picture of every person
STRANGERS = 400  # people 400..799 are in no training set; their pictures can be named as targets (Table VI)


def picture(number: int, index: int, size: int = SIZE) -> np.ndarray:
    """Picture `index` of person `number`, uint8 (size, size, 3)."""
    return draw(identity(number), nuisance(number, index), size)


def parse(name: str) -> tuple[int, int]:
    """Person and picture of a name such as `0007-3`. Raises ValueError where the name is none."""
    number, _, index = name.partition("-")
    if not (number.isdigit() and index.isdigit()):
        raise ValueError(
            f"{name} is no portrait of the miniature world; give <person>-<picture>, such as 0007-3"
        )
    return int(number), int(index)


def names() -> list[str]:
    """The names that a target can have: the training set's, then those of the strangers."""
    return [f"{n:04d}-{k}" for n in range(PEOPLE + STRANGERS) for k in range(PICTURES)]


def trained() -> list[str]:
    """The names of the training set alone."""
    return names()[: PEOPLE * PICTURES]


def training_set(size: int = SIZE) -> tuple[np.ndarray, list[str]]:
    """All pictures, uint8 (2400, size, size, 3), and their names, `0007-3` for picture 3 of person 7."""
    return _all_pictures(size).copy(), trained()


@functools.cache  # drawn once in a process: seconds
def _all_pictures(size: int) -> np.ndarray:
    return np.stack([picture(*parse(n), size) for n in trained()])

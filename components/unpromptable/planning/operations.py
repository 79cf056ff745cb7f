"""What a base model costs in operations: 1 multiply-add is 2 FLOP."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Operations:
    """FLOP of a base model per image."""

    forward: float
    backward: float  # of a whole backward pass to the weights that train
    encode: float = 0.0  # picture to model space
    decode: float = 0.0
    guidance: int = 1  # network calls per sampling step
    timesteps: int = 1000  # of its process, which settings count in thousandths

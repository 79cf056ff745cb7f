"""What a base model costs: in operations, where 1 multiply-add is 2 FLOP, and in memory."""

from __future__ import annotations

from dataclasses import dataclass

BYTES = ("weights", "trained", "seen", "taught")  # the fields that count bytes


@dataclass(frozen=True)
class Operations:
    """FLOP of a base model per image, and bytes of float32."""

    forward: float
    backward: float  # of a whole backward pass to the weights that train
    encode: float = 0.0  # picture to model space
    decode: float = 0.0
    guidance: int = 1  # network calls per sampling step
    timesteps: int = 1000  # of its process, which settings count in thousandths
    weights: float = 0.0  # bytes; 0 where they are not known
    trained: float = 0.0  # bytes of those that unlearning changes
    seen: float = 0.0  # bytes at once per image of a forward pass
    taught: float = 0.0  # bytes at once per image of a forward and a backward pass

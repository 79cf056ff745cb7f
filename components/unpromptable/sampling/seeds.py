"""Random numbers of a training: every update has a generator of its own, so a resumed run draws what an
unbroken one draws.
"""

from __future__ import annotations

import torch

PRIME = 1_000_003  # keeps the draws of one seed apart from those of the next


def of_update(seed: int, step: int, stream: int = 0) -> torch.Generator:
    """The generator of update `step`, on the CPU.

    stream: added for draws that must not use up the others' numbers. torch seeds by the lowest 32 bits alone,
    so a stream of a larger power of two begins with the same numbers as stream 0, and is not independent.
    """
    return torch.Generator().manual_seed(seed * PRIME + step + stream)

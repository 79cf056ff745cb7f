"""Random numbers of a training: every update has a generator of its own, so a resumed run draws what an
unbroken one draws.
"""

from __future__ import annotations

import torch

PRIME = 1_000_003  # keeps the draws of one seed apart from those of the next


def of_update(seed: int, step: int, stream: int = 0) -> torch.Generator:
    """The generator of update `step`, on the CPU.

    stream: added for draws that must not use up the others' numbers, far from 0 in its lowest 32 bits, by
    which alone torch seeds.
    """
    return torch.Generator().manual_seed(seed * PRIME + step + stream)

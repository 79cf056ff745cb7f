"""What CLIP sees of a picture in TediGAN's objective: the reference's detour through 7168 x 7168 pixels as one small matrix."""
from __future__ import annotations

import torch
from torch import Tensor


def view(x: Tensor, side: int) -> Tensor:
    """Pictures (B, 3, S, S) in [-1, 1] as (B, 3, side, side), without CLIP's mean and deviation, as TediGAN feeds them.

    The reference repeats every pixel 28 times and averages blocks of 32; averaging [i*S/side, (i+1)*S/side) of every
    row and column is the same. Raises ValueError where CLIP's side is larger than the picture's.
    """
    if side > x.shape[-1]:
        raise ValueError(f"clip: pictures of {x.shape[-1]} pixels are smaller than the {side} that this CLIP sees; choose a larger picture or a smaller CLIP")
    a = averages(x.shape[-1], side).to(x)
    return a @ x @ a.T


def averages(size: int, side: int) -> Tensor:
    """(side, size) float64: row i holds the share of every pixel in the i-th interval; rows sum to 1."""
    edges = torch.arange(side + 1, dtype=torch.float64) * size / side
    pixels = torch.arange(size, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return overlap.clamp(min=0) * side / size

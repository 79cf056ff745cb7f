"""Equations 1, 8-12 of the paper as pure functions, for any family with x_t = signal*x0 + noise*eps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # a step that hands on its work needs no torch
    from torch import Tensor

PREDICTIONS = ("epsilon", "v_prediction", "sample")  # what a network may output, as diffusers names it


def own_step(thousandth: int, timesteps: int) -> int:
    """A model's timestep at a thousandth of its process, at least 1.

    Settings count a process in thousandths, the paper's timesteps, whatever number a model has; one of 1000
    has these.
    """
    return max(1, thousandth * timesteps // 1000)


def own_steps(first: int, last: int, timesteps: int) -> tuple[int, int]:
    """The first and the last of a model's timesteps that lie in thousandths first..last."""
    return first * timesteps // 1000, -(-(last + 1) * timesteps // 1000) - 1


def over(weight: Tensor, x: Tensor) -> Tensor:
    """`weight` (B,) shaped to multiply `x` (B, ...)."""
    return weight.view(-1, *[1] * (x.ndim - 1))


def noisy(x0: Tensor, eps: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    """x_t of the forward process (Eq. 1). x0, eps: (B, C, H, W); signal, noise: (B,)."""
    return over(signal, x0) * x0 + over(noise, x0) * eps


def implied_noise(x_t: Tensor, x0: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    """The noise that carries `x0` to `x_t` (Eq. 9); with a surrogate as `x0`, Eq. 10.

    x_t, x0: (B, C, H, W), model space. signal, noise: (B,), x_t = signal*x0 + noise*eps.
    Raises ValueError where noise is 0, since no noise can explain the difference.
    """
    if bool((noise <= 0).any()):
        raise ValueError(
            "implied_noise: noise is 0 at some timestep, so no noise can explain x_t; keep t_min above it"
        )
    return (x_t - over(signal, x0) * x0) / over(noise, x0)


def posterior_mean(x_t: Tensor, candidates: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    """The mean of K pictures weighed by how likely each is to have become x_t, softmax(-|v_k|^2 / 2) with v_k
    Eq. 10's noise.

    x_t: (B, C, H, W). candidates: (B, K, C, H, W). signal, noise: (B,), noise above 0. (B, C, H, W).
    """
    x, s, n = candidates.double(), signal.double(), noise.double()
    implied = (x_t.double().unsqueeze(1) - over(s, x) * x) / over(n, x)
    import torch

    weights = torch.softmax(-implied.square().flatten(2).sum(2) / 2, 1)
    return (weights.view(*weights.shape, 1, 1, 1) * x).sum(1).to(x_t.dtype)


def network_target(prediction: str, x0: Tensor, eps: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    """What a network of this prediction should output: eps, v = signal*eps - noise*x0 (Salimans 2022), or x0
    itself.

    x0, eps: (B, ...). signal, noise: (B,).
    """
    velocity = lambda: over(signal, x0) * eps - over(noise, x0) * x0
    return {"epsilon": lambda: eps, "v_prediction": velocity, "sample": lambda: x0}[prediction]()


def network_noise(prediction: str, output: Tensor, x_t: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    """The noise that a network's output at x_t (B, ...) implies: `network_target` inverted.

    signal^2 + noise^2 = 1.
    """
    velocity = lambda: over(signal, x_t) * output + over(noise, x_t) * x_t
    clean = lambda: implied_noise(x_t, output, signal, noise)
    return {"epsilon": lambda: output, "v_prediction": velocity, "sample": clean}[prediction]()


def remember_weight(t: Tensor, beta: float) -> Tensor:
    """lambda(t) = 1 - beta*t (IV-A), t in thousandths of the process: near 1 at fine detail, smallest at
    coarse shape.
    """
    return 1 - beta * t.double()


def squared_error(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """||output - target||^2 per image, (B,): the mean over pixels, or the sum as in Eqs. 8 and 11."""
    import torch

    wide = torch.promote_types(output.dtype, torch.float32)  # bf16 networks, float32 losses
    error = (output.to(wide) - target.to(wide)).square().flatten(1)
    return error.sum(1) if reduction == "sum" else error.mean(1)


def planes(images: np.ndarray) -> Tensor:
    """uint8 pictures (..., H, W, C) as a tensor (..., C, H, W) of the same levels."""
    import torch

    # torch takes no array that it may not write to, such as one read on demand
    return torch.from_numpy(np.require(images, requirements="CW")).movedim(-1, -3)


def signed(levels: Tensor) -> Tensor:
    """Levels 0..255 as float32 in [-1, 1], the model space of pictures."""
    return levels.float() / 127.5 - 1


def unit(levels: Tensor) -> Tensor:
    """Levels 0..255 as float32 in [0, 1]."""
    return levels.float() / 255


def levels(x: Tensor) -> np.ndarray:
    """Pictures (N, C, H, W) in [-1, 1] as uint8 (N, H, W, C), rounded to the nearest level.

    Raises ValueError where a value is not finite: as a level it would be black, which looks like a picture.
    """
    wrong = int((~x.isfinite()).flatten(1).any(1).sum())
    if wrong:
        raise ValueError(
            f"model: {wrong} of {len(x)} pictures hold values that are not finite; the network's weights are"
            " damaged or have diverged (lower training.lr or training.steps)"
        )
    return x.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()

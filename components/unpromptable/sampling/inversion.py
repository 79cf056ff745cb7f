"""A picture to the seed that draws it and back: DDIM both ways, for every family with x_t = signal*x0 +
noise*eps.

Its network's output stands for a clean picture and a noise (`parts`). A step keeps both and takes the signal
and noise of another time (Song et al. 2021); for a flow it is Euler's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unpromptable import equations
from unpromptable.equations import own_step


def at(model, thousandth: int, number: int) -> Tensor:
    """The model's timestep at a thousandth of its process, as the injection test has it, (number,)."""
    return torch.full((number,), own_step(thousandth, model.timesteps), device=model.device)


def parts(model, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The clean picture and the noise that the output at x (B, C, h, w), t (B,) stands for, each like x.

    The output is a*x0 + b*eps with a and b of `model.target`, and x is signal*x0 + noise*eps.
    """
    output, none, one = model.predict(x, t), torch.zeros_like(x), torch.ones_like(x)
    a, b = model.target(one, none, t), model.target(none, one, t)
    signal, noise = (equations.over(v, x) for v in model.schedule(t))
    scale = signal * b - noise * a
    return (b * x - noise * output) / scale, (signal * output - a * x) / scale


def times(model, steps: int) -> Tensor:
    """So many of the model's timesteps, evenly from the least to the most noisy, (steps,)."""
    index = torch.linspace(0, model.timesteps - 1, steps).round().long()
    return model.times(index.to(model.device), floored=False)


def first(model, number: int) -> Tensor:
    """The model's least noisy timestep, at which a picture itself is taken to lie, (number,)."""
    return times(model, 1).expand(number)


def kind(model, thousandths: tuple[int, ...]) -> list[float]:
    """Numbers that two models have in common where their outputs may be compared: the shape of x_t, and of
    each time signal, noise, and what the output is made of.
    """
    x = torch.zeros(1, *model.noise_shape(), device=model.device)
    found: list[float] = list(model.noise_shape())
    for thousandth in thousandths:
        t = at(model, thousandth, 1)
        made = (*model.schedule(t), model.target(x + 1, x, t), model.target(x, x + 1, t))
        found += [float(v.mean()) for v in made]
    return found


def step(model, x: Tensor, t: Tensor, to: Tensor) -> Tensor:
    """x (B, C, h, w) at t (B,) as it is at the time `to` (B,), up or down."""
    return equations.noisy(*parts(model, x, t), *model.schedule(to))


def invert(model, x0: Tensor, grid: Tensor, rounds: int = 1) -> Tensor:
    """x at the last of the times `grid` (S,), least noisy first, from which `sample` comes back to x0
    (B, C, h, w).

    A step up asks for the noise at its own end, which is found by so many rounds of a fixed point; more
    come nearer to what a step down undoes.
    """
    x, signal, noise = x0, x0.new_ones(len(x0)), x0.new_zeros(len(x0))
    for t in grid:
        t = t.expand(len(x))
        to, now = model.schedule(t), x
        for _ in range(rounds):
            eps = parts(model, x, t)[1]
            # Eq. 9 with signal and noise in each other's place: the clean picture of `now` and eps
            x = equations.noisy(equations.implied_noise(now, eps, noise, signal), eps, *to)
        signal, noise = to
    return x


def sample(model, x: Tensor, grid: Tensor) -> Tensor:
    """The clean picture (B, C, h, w), model space, that x at the last of the times `grid` becomes.

    Where x has gradients each call of the network is computed again in the backward pass, so that what one
    call leaves for it is held at a time: 2 GiB an image of a network of 114 million weights at 256 x 256.
    """
    call = partial(checkpoint, use_reentrant=False) if x.requires_grad else _call
    falling = grid.flip(0)
    for t, to in zip(falling, falling[1:]):
        x = call(step, model, x, t.expand(len(x)), to.expand(len(x)))
    return call(lambda x: parts(model, x, grid[0].expand(len(x)))[0], x)


def _call(function: Callable[..., Tensor], *args: Any) -> Tensor:
    return function(*args)

"""The exact log-likelihood of a picture by a model's probability-flow ODE, whatever its network predicts.

Its output implies a noise, eps. With l = log(noise/signal) as time, dx/dl = noise*eps(x, l) - noise^2*x, and
the log-density changes by minus the divergence, estimated by Hutchinson's probes. The model's steps are
joined by interpolating its timesteps in l.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

OFFSET = 7.0  # bits per dimension between [-1, 1] and 256 levels: log2(128)


def times(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """The model's timesteps 0, 1, ... and their log(noise/signal), which must increase.

    A last one without signal, where it is infinite, is left out.
    """
    t = torch.arange(model.timesteps, device=model.device)
    signal, noise = (x.double().cpu().numpy() for x in model.schedule(t))
    some = signal > 0
    return np.arange(model.timesteps, dtype=np.float64)[some], np.log(noise[some] / signal[some])


def log_likelihood(
    model: Any, x0: Tensor, probes: list[torch.Generator], tolerance: float = 1e-5
) -> np.ndarray:
    """log p(x0) in nats by each probe (P,). x0: (C, H, W), model space.

    Raises ValueError for a family without `noise_of`, such as one of latents.
    """
    from scipy.integrate import solve_ivp

    x0 = x0.to(model.device)
    signs = torch.stack([torch.randint(0, 2, x0.shape, generator=g) * 2.0 - 1 for g in probes]).to(
        model.device
    )
    steps, grid = times(model)
    number = len(signs)

    def slope(now: float, state: np.ndarray) -> np.ndarray:
        x = torch.as_tensor(state[number:].reshape(number, *x0.shape), dtype=x0.dtype, device=model.device)
        drift, divergence = _flow(model, x, signs, now, float(np.interp(now, grid, steps)))
        return np.concatenate([divergence.double().cpu().numpy(), drift.double().flatten().cpu().numpy()])

    start = np.concatenate([np.zeros(number), np.tile(x0.double().flatten().cpu().numpy(), number)])
    end = solve_ivp(slope, (grid[0], grid[-1]), start, method="RK45", rtol=tolerance, atol=tolerance)
    if not end.success:
        raise ValueError(
            f"likelihood: the ODE could not be solved ({end.message}); raise likelihood.tolerance"
        )
    final = end.y[number:, -1].reshape(number, -1)
    # of noise at the last step; the rest of x is the picture's, next to nothing
    variance = 1 / (1 + np.exp(-2 * grid[-1]))
    return -0.5 * (final**2 / variance + np.log(2 * np.pi * variance)).sum(1) + end.y[:number, -1]


def _flow(model: Any, x: Tensor, signs: Tensor, now: float, t: float) -> tuple[Tensor, Tensor]:
    """dx/dl (P, C, H, W) and its divergence by each probe (P,)."""
    square = 1 / (1 + np.exp(-2 * now))
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        signal, noise = (x.new_full((len(x),), v**0.5) for v in (1 - square, square))
        eps = model.noise_of(model.predict(x, torch.full((len(x),), t, device=x.device)), x, signal, noise)
        (pulled,) = torch.autograd.grad((eps * signs).sum(), x)
    dimensions = x[0].numel()
    drift = np.sqrt(square) * eps.detach() - square * x.detach()
    return drift, np.sqrt(square) * (pulled * signs).flatten(1).sum(1) - square * dimensions


def bits(nats: np.ndarray, dimensions: int) -> np.ndarray:
    """Log-likelihood in nats to bits per dimension of a picture of 256 levels; larger is less likely."""
    return -nats / (np.log(2) * dimensions) + OFFSET

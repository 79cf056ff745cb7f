"""How much noise a DDPM's scheduler puts at which timestep, by its configuration, as diffusers has it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

SOLVERS = ("dpm++", "unipc")  # which place one timestep more than they visit: the last is the picture


def timesteps(config: dict[str, Any], steps: int, sampler: str = "ddim") -> np.ndarray:
    """A sampler's timesteps of so many steps, falling, as `timestep_spacing` and `steps_offset` place
    them.
    """
    total, spacing = config.get("num_train_timesteps", 1000), config.get("timestep_spacing", "leading")
    if spacing == "trailing":
        return np.round(np.arange(total, 0, -total / steps)).astype(np.int64) - 1
    placed = steps + (sampler in SOLVERS)
    if spacing == "linspace":
        return np.linspace(0, total - 1, placed).round()[::-1][:steps].astype(np.int64)
    return np.arange(placed)[::-1][:steps] * (total // placed) + config.get("steps_offset", 0)


def abar(config: dict[str, Any]) -> np.ndarray:
    """The squared signal left at every timestep, (T,) float64, by the betas and `rescale_betas_zero_snr`."""
    total = config.get("num_train_timesteps", 1000)
    start, end = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
    kind = config.get("beta_schedule", "linear")
    if config.get("trained_betas") is not None:
        betas = np.array(config["trained_betas"], np.float64)
    elif kind == "squaredcos_cap_v2":  # Nichol 2021, Eq. 17
        signal = np.cos((np.arange(total + 1) / total + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = np.minimum(1 - signal[1:] / signal[:-1], 0.999)
    else:
        root = 0.5 if kind == "scaled_linear" else 1
        betas = np.linspace(start**root, end**root, total) ** (1 / root)
    kept = np.cumprod(1 - betas)
    if config.get("rescale_betas_zero_snr"):  # Lin 2023, Algorithm 1
        signal = np.sqrt(kept)
        kept = ((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])) ** 2
    return kept

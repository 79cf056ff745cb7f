"""A DDPM that was unlearned elsewhere, beside the base model that it is compared with.

What it draws is held to what the base draws, so that both must be of one kind, and be drawn by one scheduler:
with the same weights another spacing of the timesteps is LPIPS 0.28 away, which is no damage of a method.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from . import checkpoints, noise_schedule, process

SCHEDULER = "scheduler_config.json"
DRAWING = {  # what a scheduler's configuration says beside noise and prediction -> the DDPM's default
    **{"timestep_spacing": "leading", "steps_offset": 0, "variance_type": "fixed_small"},
    **{"clip_sample": True, "clip_sample_range": 1.0, "set_alpha_to_one": True},
    **{"thresholding": False, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0},
}


def differences(mine: tuple[Path, Path], base: tuple[Path, Path]) -> list[str]:
    """What the model's scheduler would draw otherwise than the base's, in words: `steps_offset 1, not 0`.

    mine, base: the folders of a network and of its scheduler. Raises ValueError where pictures, noise or
    prediction are others, which no scheduler makes alike.
    """
    here, there = (_kind(*homes) for homes in (mine, base))
    wrong = [
        f"{what} {here[what]} where the base model has {there[what]}"
        for what in here
        if here[what] != there[what]
    ]
    (mine_said, mine_noise), (base_said, base_noise) = (_scheduler(home) for _, home in (mine, base))
    if not wrong and not np.allclose(mine_noise, base_noise, rtol=1e-5):
        wrong = ["other betas than the base model"]
    if wrong:
        raise ValueError(
            f"unlearned: {mine[0]} has {', '.join(wrong)}; name the model that was unlearned from this base"
        )
    return [
        f"{k} {mine_said.get(k, default)}, not {base_said.get(k, default)}"
        for k, default in DRAWING.items()
        if mine_said.get(k, default) != base_said.get(k, default)
    ]


def take(mine: tuple[Path, Path], base: tuple[Path, Path]) -> None:
    """Bring a copy of the model to safetensors, and have it drawn by the base's scheduler."""
    checkpoints.settle(mine[0])
    shutil.copyfile(base[1] / SCHEDULER, mine[1] / SCHEDULER)


def _kind(network: Path, scheduler: Path) -> dict[str, Any]:
    config, said = (
        checkpoints.read_json(network / "config.json"),
        checkpoints.read_json(scheduler / SCHEDULER),
    )
    return {
        "pixels": process.side(network / "config.json"),
        "channels": config.get("in_channels", 3),
        "timesteps": said.get("num_train_timesteps", 1000),
        "prediction_type": said.get("prediction_type", "epsilon"),
    }


def _scheduler(home: Path) -> tuple[dict[str, Any], np.ndarray]:
    said = checkpoints.read_json(home / SCHEDULER)
    return said, noise_schedule.abar(said)

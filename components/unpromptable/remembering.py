"""The remember set of a prompted model: its own outputs of the prompt, without those that show what is to be forgotten."""
from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import config, networks, plugins, sampling

log = logging.getLogger(__name__)


def draw(experiment: config.Experiment, pretrained: Path, forget: np.ndarray, device: str, progress=None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays 'remember' (R, H, W, 3) and 'screened' (S, H, W, 3), and their seeds and similarities for the manifest.

    Draws on until `remember.images` are kept. Raises ValueError where fewer than one in five is kept.
    """
    wanted = experiment.remember
    model = plugins.module("model", experiment.model.name).Model.load(pretrained, device, experiment)
    eyes = networks.load(experiment.networks.name, experiment.networks.folder or None)
    targets = eyes.descriptor(forget)
    settings = replace(experiment.sampling, first_seed=wanted.first_seed)
    made, near = [], []
    while (kept := sum(n < wanted.screen for n in near)) < wanted.images:
        if len(near) >= 5 * wanted.images:
            raise ValueError(f"remember: only {kept} of {len(near)} outputs of the prompt differ from the forget images by remember.screen ({wanted.screen}); raise it, or check the prompt")
        images, _ = sampling.sample(model, settings, len(near), min(settings.batch, 5 * wanted.images - len(near)), progress)
        made.append(images)
        near += (eyes.descriptor(images) @ targets.T).max(1).values.tolist()
    images, near = np.concatenate(made), np.array(near)
    kept = np.flatnonzero(near < wanted.screen)[: wanted.images]
    gone = np.flatnonzero(near[: kept[-1] + 1] >= wanted.screen)
    log.info("remember set: %d outputs of the prompt kept, %d screened out for showing a forget image", len(kept), len(gone))
    seeds = lambda which: [int(wanted.first_seed + i) for i in which]
    return {"remember": images[kept], "screened": images[gone]}, {"remember_seeds": seeds(kept), "screened_seeds": seeds(gone), "screened_similarity": near[gone].round(4).tolist()}

"""The remember set of a prompted model: its own outputs of the prompt, without those that show what is to be forgotten."""
from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from . import config, networks, plugins, sampling

log = logging.getLogger(__name__)
APART = 1_000_000  # between the seeds of the prompt and of the other prompts


@dataclass(frozen=True)
class Drawn:
    """Outputs kept and screened out, (K, H, W, 3) and (S, H, W, 3), their seeds, and how like a forget image the screened are."""

    kept: np.ndarray
    kept_seeds: list[int]
    screened: np.ndarray
    screened_seeds: list[int]
    similarity: list[float]


def draw(experiment: config.Experiment, pretrained: Path, forget: np.ndarray, device: str, progress=None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays 'remember' (R, H, W, 3) and 'screened' (S, H, W, 3), and their seeds and similarities for the manifest.

    With `remember.prompts` also 'remember_others' (R, H, W, 3), screened alike, and the prompt of each.
    Draws on until `remember.images` are kept. Raises ValueError where fewer than one in five is kept.
    """
    wanted = experiment.remember
    model = plugins.module("model", experiment.model.name).Model.load(pretrained, device, experiment)
    eyes = networks.load(experiment.networks.name, experiment.networks.folder or None)
    targets = eyes.descriptor(forget)
    own = _screened(experiment, model, eyes, targets, wanted.first_seed, (), progress)
    arrays, told, sets = {"remember": own.kept}, {"remember_seeds": own.kept_seeds}, [own]
    if wanted.prompts:
        others = _screened(experiment, model, eyes, targets, wanted.first_seed + APART, wanted.prompts, progress)
        sets.append(others)
        arrays["remember_others"] = others.kept
        told |= {"remember_others_seeds": others.kept_seeds, "remember_others_prompts": [wanted.prompts[s % len(wanted.prompts)] for s in others.kept_seeds]}
    arrays["screened"] = np.concatenate([s.screened for s in sets])
    told |= {"screened_seeds": [i for s in sets for i in s.screened_seeds], "screened_similarity": [x for s in sets for x in s.similarity]}
    return arrays, told


def _screened(experiment: config.Experiment, model, eyes, targets: Tensor, first: int, asked: tuple[str, ...], progress) -> Drawn:
    """Outputs from seed `first` on, of the experiment's prompt or of `asked` in turn."""
    wanted = experiment.remember
    settings = replace(experiment.sampling, first_seed=first)
    made, near = [], []
    while (kept := sum(n < wanted.screen for n in near)) < wanted.images:
        if len(near) >= 5 * wanted.images:
            raise ValueError(f"remember: only {kept} of {len(near)} outputs of {'the other prompts' if asked else 'the prompt'} differ from the forget images by remember.screen ({wanted.screen}); raise it, or check the prompt")
        images, _ = sampling.sample(model, settings, len(near), min(settings.batch, 5 * wanted.images - len(near)), progress, asked)
        made.append(images)
        near += (eyes.descriptor(images) @ targets.T).max(1).values.tolist()
    images, near = np.concatenate(made), np.array(near)
    kept = np.flatnonzero(near < wanted.screen)[: wanted.images]
    gone = np.flatnonzero(near[: kept[-1] + 1] >= wanted.screen)
    log.info("remember set: %d outputs of %s kept, %d screened out for showing a forget image", len(kept), f"{len(asked)} other prompts" if asked else "the prompt", len(gone))
    seeds = lambda which: [int(first + i) for i in which]
    return Drawn(images[kept], seeds(kept), images[gone], seeds(gone), near[gone].round(4).tolist())

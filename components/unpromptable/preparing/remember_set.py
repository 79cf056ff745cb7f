"""The remember set: real images, or a prompted model's own outputs, without those that show what is to be
forgotten.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from unpromptable import data
from unpromptable.planning.experiment import Experiment
from unpromptable.sampling import chains
from unpromptable.scoring import metric_networks

log = logging.getLogger(__name__)
# correlation of pixels from which on a picture is a copy: copies saved anew or cut have 0.94 and more, other
# people 0.89 at most
COPY = 0.93
SMALL = 32  # pixels a side at which pictures are compared
APART = 1_000_000  # between the seeds of the prompt and of the other prompts


@dataclass(frozen=True)
class Drawn:
    """Outputs kept and screened out, (K, H, W, 3) and (S, H, W, 3), their seeds, and how like a forget image
    the screened are.
    """

    kept: np.ndarray
    kept_seeds: list[int]
    screened: np.ndarray
    screened_seeds: list[int]
    similarity: list[float]


def copies(
    experiment: Experiment, arrays: dict[str, np.ndarray], manifest: dict[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and manifest without the near copies of a forget image, such as one saved anew or cut a little.

    Of the real images those are copies whose descriptor is at least `remember.screen` similar to a forget
    image's and whose pixels agree with it (`alike`). They are added to `removed`, named in `copies` with that
    agreement, and shown as 'screened' (S, H, W, 3). Raises ValueError where none is kept.
    """
    gone = set(manifest["removed"])
    left = np.flatnonzero([n not in gone for n in manifest["names"]])
    networks, kept = metric_networks.of(experiment.networks), data.Rows(arrays["real"], left)
    near = (networks.descriptor(kept) @ networks.descriptor(arrays["forget"]).T).numpy()
    shown = [views(image, mirrored=True) for image in arrays["forget"]]
    told = {}
    for i, similar in zip(left, near >= experiment.remember.screen):
        own = views(arrays["real"][i]) if similar.any() else None
        most = max((alike(own, shown[t]) for t in np.flatnonzero(similar)), default=0.0)
        if most >= COPY:
            told[manifest["names"][i]] = round(most, 4)
            log.warning(
                "remember set: %s is left out as a near copy of a forget image (%.2f)",
                manifest["names"][i],
                most,
            )
    if len(told) == len(left):
        raise ValueError(
            f"remember: all {len(left)} real images are copies of forget images; add images to keep"
        )
    found = [i for i, n in enumerate(manifest["names"]) if n in told]
    removed = [n for n in manifest["names"] if n in gone or n in told]
    return {**arrays, "screened": arrays["real"][found]}, {**manifest, "removed": removed, "copies": told}


def views(image: np.ndarray, mirrored: bool = False) -> np.ndarray:
    """A picture (H, W, 3) and its cuts by up to 6/32 of a side, small and of unit norm, (V, D); and their
    mirror images.
    """
    from PIL import Image

    picture, (height, width) = Image.fromarray(image), image.shape[:2]
    found = []
    for cut in (k / 32 for k in range(7)):
        for x, y in itertools.product((0.0, cut / 2, cut), repeat=2) if cut else [(0.0, 0.0)]:
            box = (x * width, y * height, width - (cut - x) * width, height - (cut - y) * height)
            small = np.asarray(picture.resize((SMALL, SMALL), Image.Resampling.BICUBIC, box=box), np.float32)
            found += [small, small[:, ::-1]] if mirrored else [small]
    flat = np.stack([(v - v.mean((0, 1))).ravel() for v in found])
    return flat / np.linalg.norm(flat, axis=1, keepdims=True).clip(1e-6)


def alike(a: np.ndarray, b: np.ndarray) -> float:
    """The largest correlation of any view of one picture with any of another; near 1 for a copy, however it
    was saved.
    """
    return float((a @ b.T).max())


def draw(
    experiment: Experiment, pretrained: Path, forget: np.ndarray, device: str, progress=None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays 'remember' (R, H, W, 3) and 'screened' (S, H, W, 3), and their seeds and similarities for the
    manifest.

    With `remember.prompts` also 'remember_others' (R, H, W, 3), screened alike, and the prompt of each.
    Draws on until `remember.images` are kept. Raises ValueError where fewer than one in five is kept.
    """
    wanted = experiment.remember
    model = experiment.family.model.load(pretrained, device, experiment)
    networks = metric_networks.of(experiment.networks)
    targets = networks.descriptor(forget)
    own = _screened(experiment, model, networks, targets, wanted.first_seed, (), progress)
    arrays, told, sets = {"remember": own.kept}, {"remember_seeds": own.kept_seeds}, [own]
    if wanted.prompts:
        others = _screened(
            experiment, model, networks, targets, wanted.first_seed + APART, wanted.prompts, progress
        )
        sets.append(others)
        arrays["remember_others"] = others.kept
        told |= {
            "remember_others_seeds": others.kept_seeds,
            "remember_others_prompts": [wanted.prompts[s % len(wanted.prompts)] for s in others.kept_seeds],
        }
    arrays["screened"] = np.concatenate([s.screened for s in sets])
    told |= {
        "screened_seeds": [i for s in sets for i in s.screened_seeds],
        "screened_similarity": [x for s in sets for x in s.similarity],
    }
    return arrays, told


def _screened(
    experiment: Experiment, model, networks, targets: Tensor, first: int, prompts: tuple[str, ...], progress
) -> Drawn:
    """Outputs from seed `first` on, of the experiment's prompt or of `prompts` in turn."""
    wanted = experiment.remember
    settings = replace(experiment.sampling, first_seed=first)
    made, near = [], []
    while (kept := sum(n < wanted.screen for n in near)) < wanted.images:
        if len(near) >= 5 * wanted.images:
            raise ValueError(
                f"remember: only {kept} of {len(near)} outputs of"
                f" {'the other prompts' if prompts else 'the prompt'} differ from the forget images by"
                f" remember.screen ({wanted.screen}); raise it, or check the prompt"
            )
        images, _ = chains.sample(
            model, settings, len(near), min(settings.batch, 5 * wanted.images - len(near)), progress, prompts
        )
        made.append(images)
        near += (networks.descriptor(images) @ targets.T).max(1).values.tolist()
    images, near = np.concatenate(made), np.array(near)
    kept = np.flatnonzero(near < wanted.screen)[: wanted.images]
    gone = np.flatnonzero(near[: kept[-1] + 1] >= wanted.screen)
    log.info(
        "remember set: %d outputs of %s kept, %d screened out for showing a forget image",
        len(kept),
        f"{len(prompts)} other prompts" if prompts else "the prompt",
        len(gone),
    )
    seeds = lambda which: [int(first + i) for i in which]
    return Drawn(images[kept], seeds(kept), images[gone], seeds(gone), near[gone].round(4).tolist())

"""TediGAN's edit: the generator's code that gives the target back, and agrees with a caption, found by
gradients.

J = pixel*mean(x - G(z))^2 + perceptual*mean(F(x) - F(G(z)))^2 + latent*mean(z - E(G(z)))^2 + w*(1 -
cos(CLIP(G(z)), CLIP(text))) from z = E(x), by Adam. Every item of a batch has its own J, and Adam works on
single numbers, so an item's edit does not depend on the others of a batch of the same size. Pictures are (B,
3, R, R) in [-1, 1], codes (B, L, W).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, nn

from unpromptable.models import published

from . import clip as clipping
from . import encoder as encoding
from . import stylegan, vgg

log = logging.getLogger(__name__)
SETTING = "editor.folder"
INSTEAD = "or choose the editor sdedit or paint, which need none of these networks"
FOLDER = Path(str(resources.files("unpromptable") / "miniature" / "tedigan"))  # the pair that ships
GREW = 2.0  # an objective that ends at more than this many times its start has diverged


@dataclass(frozen=True)
class TediGAN:
    """What an edit needs, frozen and on one device."""

    generator: nn.Module
    encoder: nn.Module
    features: Callable[[Tensor], list[Tensor]]  # what the perceptual term compares: (B, C, H, W) per layer
    clip: clipping.Clip


@dataclass(frozen=True)
class Balance:
    """The weights of the terms that keep the target."""

    pixel: float
    perceptual: float
    latent: float


@dataclass(frozen=True)
class Task:
    """The edits of one optimisation."""

    # of the targets, for messages; what stands behind them in x fills the batch, and is no edit
    names: tuple[str, ...]
    x: Tensor  # (B, 3, R, R), the targets
    clip: Tensor  # (B,), the weight of the caption
    prompt: str


def load(folder: str, device: str) -> TediGAN:
    """The networks that ship ('miniature'), those of a folder, or, where it is empty, the published ones,
    fetched.

    A folder holds the published .pth files and clip-vit-base-patch32/; a shape.json beside them says that
    generator and encoder have other sizes. Raises FileNotFoundError or ValueError that says where each file
    is published.
    """
    if folder == "miniature":
        return _miniature(device)
    generator, encoder, seen = (
        published.find(n, folder or None, SETTING, INSTEAD)
        for n in ("styleganinv_ffhq256_generator.pth", "styleganinv_ffhq256_encoder.pth", "vgg16.pth")
    )
    clip = clipping.load(clipping.find(folder, SETTING, INSTEAD), device)
    pair = encoding.load(generator, encoder, _shape(Path(folder) / "shape.json"))
    see = vgg.load(seen).to(device)
    return TediGAN(*(n.to(device) for n in pair), lambda x: [see(x)], clip)


def _miniature(device: str) -> TediGAN:
    from unpromptable.miniature import descriptor

    seen = descriptor.load().to(device)
    return TediGAN(
        *(n.to(device) for n in shipped()),
        lambda x: seen.compared(x / 2 + 0.5),
        clipping.load(FOLDER / "clip", device),
    )


def _shape(path: Path) -> stylegan.Shape:
    return stylegan.Shape(**json.loads(path.read_text())) if path.is_file() else stylegan.Shape()


class Objective:
    """J of codes, one value per item; what depends on the target or the caption alone is computed once."""

    def __init__(self, networks: TediGAN, task: Task, balance: Balance):
        self.networks, self.task, self.balance = networks, task, balance
        with torch.no_grad():
            self.seen, self.said = networks.features(task.x), networks.clip.text(task.prompt)

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The pictures G(z), J (B,) and the cosine with the caption (B,)."""
        y = self.networks.generator(z)
        pixel, latent = _mean(self.task.x - y), _mean(z - self.networks.encoder(y))
        perceptual = torch.stack([_mean(a - b) for a, b in zip(self.seen, self.networks.features(y))]).mean(0)
        cosine = self.networks.clip.pictures(y) @ self.said
        b = self.balance
        return (
            y,
            b.pixel * pixel + b.perceptual * perceptual + b.latent * latent + self.task.clip * (1 - cosine),
            cosine,
        )


def _mean(difference: Tensor) -> Tensor:
    return difference.square().flatten(1).mean(1)


def invert(
    objective: Objective, z: Tensor, steps: int, lr: float, progress: Callable[[int, str], None]
) -> Tensor:
    """The edited pictures of the task's names, (N, 3, R, R): those of the last step, before its update, as in
    the reference.

    z: the codes to start from. Raises ValueError where an item's objective is not finite or grows.
    """
    z, n = z.detach().clone().requires_grad_(), len(objective.task.names)
    optimizer = torch.optim.Adam([z], lr=lr)
    for step in range(steps):
        y, value, cosine = objective(z)
        if step == 0:
            first = value.detach(), cosine.detach()
        _check(objective.task, ~value[:n].isfinite(), step, value, lr)
        optimizer.zero_grad(set_to_none=True)
        value.sum().backward()
        optimizer.step()
        progress(step + 1, f"objective {value[:n].mean().item():.4f}")
    _check(objective.task, (value > GREW * first[0])[:n], steps - 1, value, lr)
    for i, name in enumerate(objective.task.names):
        log.info(
            "edit of %s, caption weight %g: objective %.4f to %.4f, similarity to the caption %.3f to %.3f",
            name,
            *(float(v[i].detach()) for v in (objective.task.clip, first[0], value, first[1], cosine)),
        )
    return y[:n].detach()


def _check(task: Task, wrong: Tensor, step: int, value: Tensor, lr: float) -> None:
    if wrong.any():
        i = int(wrong.nonzero()[0])
        raise ValueError(
            f"tedigan: the edit of {task.names[i]} diverges: at step {step} its objective is"
            f" {value[i].item():.4g}; lower editor.lr ({lr}) or editor.clip_weight ({task.clip[i].item():g})"
        )


def shipped() -> tuple[stylegan.Generator, encoding.Encoder]:
    """The trained pair that ships, frozen."""
    return encoding.load(
        FOLDER / "generator.safetensors",
        FOLDER / "encoder.safetensors",
        stylegan.Shape(**json.loads((FOLDER / "shape.json").read_text())),
    )

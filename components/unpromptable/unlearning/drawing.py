"""The batch of each update, drawn from a cell's images by the seed and the update's number alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpromptable import data
from unpromptable.planning.experiment import Cell
from unpromptable.planning.settings import Training
from unpromptable.sampling import seeds

from . import held
from .batch import Batch
from .held import Held

# generators of their own, so that these draws use up none of the others' numbers
OTHER_TIMES, TARGETS, OTHERS, LOOKALIKES = 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F, 0x9E3779B9


@dataclass(frozen=True)
class Images:
    """The uint8 arrays a cell trains on: remember (R, H, W, 3), forget and surrogates (E + F, H, W, 3), and
    the names of the F. Those to remember are read when they are indexed. held: the E that come first were
    forgotten before.

    others (O, H, W, 3): remember images of other prompts, and which prompt each is of.
    """

    remember: Any
    forget: np.ndarray
    surrogates: np.ndarray
    targets: tuple[str, ...]
    others: np.ndarray | None = None
    prompts: tuple[str, ...] = ()
    neighbours: np.ndarray | None = (
        None  # (E + F, K, H, W, 3): remember images near each target, if it is led there
    )
    held: int = 0
    lookalikes: np.ndarray | None = None  # positions of remember images that look like a target

    @classmethod
    def load(cls, cell: Cell, data_path: str | Path, surrogates: str | Path) -> Images:
        """Read a cell's images from the artifacts of prepare and edit."""
        arrays, manifest = data.load(data_path)
        painted, _ = data.load(surrogates)
        order = [manifest["forget_names"].index(t) for t in cell.forget]
        forget = arrays["forget"][order]
        before = held.read(cell.training.held, forget)
        return cls(
            data.remember(arrays, manifest),
            np.concatenate([before.forget, forget]),
            np.concatenate([before.surrogates, painted["images"]]),
            cell.forget,
            arrays.get("remember_others"),
            tuple(manifest.get("remember_others_prompts", ())),
            _neighbours(before, painted.get("neighbours")),
            len(before.forget),
        )


def _neighbours(before: Held, near: np.ndarray | None) -> np.ndarray | None:
    """Those of all targets; what was forgotten before is led to its surrogate alone."""
    if near is None:
        return None
    return np.concatenate([before.surrogates[:, None].repeat(near.shape[1], 1), near])


def draw_batch(model, settings: Training, images: Images, which: int, step: int, redraws: bool) -> Batch:
    """The batch of one update; every draw depends on the seed and the step alone, so a resumed run sees the
    same.
    """
    g, size = seeds.of_update(settings.seed, step), settings.batch
    pick = lambda: torch.randint(len(images.remember), (size,), generator=g).numpy()
    remember, prompts = _remembered(model, settings, images, _near(settings, images, pick(), step), step)
    first, last = model.within(settings.t_min, settings.t_max)
    times = lambda n, g: torch.randint(first, last + 1, (n,), generator=g).expand(size)
    t = times(1 if settings.timesteps == "shared" else size, g)
    eps = torch.randn((size, *remember.shape[1:]), generator=g)
    now = _targets(settings, images.held + which, step)
    forget = model.encoded(images.forget, now)
    surrogate = model.encoded(*((images.remember, pick()) if redraws else (images.surrogates, now)))
    other = times(size, seeds.of_update(settings.seed, step, OTHER_TIMES))
    t, other = (model.times(x.to(model.device)) for x in (t, other))
    how = {"reduction": settings.reduction, "micro": settings.micro_batch}
    branches = (remember, forget, surrogate)
    near = None if images.neighbours is None else _each(model, images.neighbours[now])
    return Batch(
        *branches, t, eps.to(model.device), g, **how, t_other=other, prompts=prompts, neighbours=near
    )


def _each(model, pictures: np.ndarray) -> torch.Tensor:
    """Pictures (B, K, H, W, 3) in model space, (B, K, C, h, w)."""
    encoded = model.encode(pictures.reshape(-1, *pictures.shape[2:]))
    return encoded.unflatten(0, pictures.shape[:2])


def _near(settings: Training, images: Images, which: np.ndarray, step: int) -> np.ndarray:
    """Which remember images an update shows, (B,): those that were picked, each by the chance `lookalikes`
    replaced by one that looks like a target.
    """
    if not settings.lookalikes:
        return which
    g, among = seeds.of_update(settings.seed, step, LOOKALIKES), images.lookalikes
    replaced = torch.rand(len(which), generator=g) < settings.lookalikes
    other = torch.randint(len(among), (len(which),), generator=g).numpy()
    return np.where(replaced.numpy(), among[other], which)


def _remembered(
    model, settings: Training, images: Images, which: np.ndarray, step: int
) -> tuple[Tensor, tuple[str, ...]]:
    """Remember images `which` in model space, of which the share `others` is replaced by those of other
    prompts, and the prompt of each; () where none is.
    """
    number = round(settings.others * len(which))
    if not number:
        return model.encoded(images.remember, which), ()
    g = seeds.of_update(settings.seed, step, OTHERS)
    other = torch.randint(len(images.others), (number,), generator=g).numpy()
    prompts = [images.prompts[i] for i in other] + [model.prompt] * (len(which) - number)
    parts = ((images.others, other), (images.remember, which[number:]))
    return torch.cat([model.encoded(*part) for part in parts if len(part[1])]), tuple(prompts)


def _targets(settings: Training, which: int, step: int) -> np.ndarray:
    """Which target each forget image of an update shows, (B,): the present one, or with `revisit` an earlier
    one.
    """
    g = seeds.of_update(settings.seed, step, TARGETS)
    size, none = (settings.batch,), torch.zeros(settings.batch, dtype=torch.bool)
    earlier = torch.rand(size, generator=g) < settings.revisit if which else none
    return torch.where(earlier, torch.randint(max(which, 1), size, generator=g), which).numpy()

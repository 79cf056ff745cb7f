"""Seeds to images: DDIM and ancestral DDPM, in shards, and the injection test."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from torch import Tensor

from unpromptable.equations import own_step
from unpromptable.planning.settings import Injection, Sampling

# noise draws denoised at once, always so many: a network may round other batch sizes differently in the last
# bit
DRAWS = 8
EDITS = 1 << 21  # added to the seeds of edits: what forgets must not know the noise that tests it


def filled(items: list, size: int) -> list:
    """The items, the last one repeated until they fill whole batches of `size`."""
    return [*items, *[items[-1]] * (-len(items) % size)]


def generator(*seeds: int) -> torch.Generator:
    """A generator for one image: the same numbers whatever else is in its batch."""
    state = np.random.SeedSequence([s & 0xFFFFFFFF for s in seeds]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


def draw(generators: list[torch.Generator], shape: tuple[int, ...]) -> Tensor:
    """One standard normal per generator, (B, *shape), drawn on the CPU so that every device sees the same
    noise.
    """
    return torch.stack([torch.randn(shape, generator=g) for g in generators])


def sample(
    model, settings: Sampling, first: int, count: int, progress=None, prompts: tuple[str, ...] = ()
) -> tuple[np.ndarray, list[int]]:
    """Images first .. first+count of the run, uint8 (count, H, W, 3), and their seeds.

    Image i depends on its seed and the weights alone, wherever a shard begins: every batch is filled up to
    `settings.batch`, or to the run's images in eights where they are fewer, since a network's rounding may
    depend on the size of its batch. progress(done_calls, total_calls). prompts: in turn over the seeds,
    instead of the model's own.
    """
    seeds = [settings.first_seed + first + i for i in range(count)]
    size, images = settings.together, []
    batches = range(0, count, size)
    for number, start in enumerate(batches):
        part = seeds[start : start + size]
        whole = filled(part, size)
        step = (
            None
            if progress is None
            else lambda k: progress(number * settings.steps + k, len(batches) * settings.steps)
        )
        view = model.with_prompts([prompts[s % len(prompts)] for s in whole]) if prompts else model
        images.append(chain(view, settings, whole, step)[: len(part)])
    return np.concatenate(images), seeds


def chain(model, settings: Sampling, seeds: list[int], progress=None) -> np.ndarray:
    """One batch from noise to pictures, uint8 (B, H, W, 3)."""
    generators = [generator(s) for s in seeds]
    scheduler = model.sampler(settings.sampler)
    scheduler.set_timesteps(settings.steps)
    with model.inference(), precise(settings.precision, model.device):
        # flows start from plain noise
        x = draw(generators, model.noise_shape()).to(model.device) * getattr(
            scheduler, "init_noise_sigma", 1.0
        )
        for k, t in enumerate(scheduler.timesteps):
            x = step(model, scheduler, x, t.item(), generators)
            if progress:
                progress(k + 1)
    return model.decode(x)


@contextmanager
def precise(precision: str, device: torch.device) -> Iterator[None]:
    """Networks in this `sampling.precision` inside. Raises ValueError for TF32 where there is no GPU."""
    if precision == "no":
        yield
    elif precision == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
    elif device.type != "cuda":
        raise ValueError("sampling.precision is tf32, which GPUs have; choose no or bf16, or take a GPU")
    else:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def step(model, scheduler, x: Tensor, t: int | float, generators: list[torch.Generator]) -> Tensor:
    """One call of the network and one of the scheduler; each image's chain noise comes from its own
    generator.
    """
    output = model.denoise(x, torch.full((len(x),), t, device=x.device)).float()
    drawn = {"generator": generators} if _draws(type(scheduler)) else {}
    return scheduler.step(output, t, x, **drawn).prev_sample


@cache
def _draws(scheduler: type) -> bool:
    """Whether a scheduler's step takes generators, which it may draw noise from."""
    return "generator" in inspect.signature(scheduler.step).parameters


def inject(
    model,
    image: np.ndarray,
    t: int,
    draws: int,
    seed: int,
    siss_compat: bool = False,
    progress=None,
    stride: int = 1,
    first: int = 0,
) -> np.ndarray:
    """Noise `image` (H, W, 3) to t and take the model's steps down to 0 (Fig. 6; DDPM: t, t-stride, ..., 0):
    uint8 (draws, H, W, 3).

    t and stride are in thousandths of the process, rounded down to the model's own steps, of which there is
    at least one. Draw k, of first .. first+draws, uses the same injected and chain noise for every
    model, and does not depend on `draws`; `first` is a multiple of DRAWS. `siss_compat` gives both the same
    generator seed, so that the first chain noise equals the injected noise, as in the SISS code.
    """
    if not 0 < t < 1000:
        raise ValueError(f"injection.t is {t}; it must lie in 1..999")
    t, stride = (own_step(x, model.timesteps) for x in (t, stride))
    show = lambda start: (
        None if progress is None else lambda k, n: progress(start // DRAWS * n + k, -(-draws // DRAWS) * n)
    )
    which = lambda start: range(first + start, first + start + DRAWS)
    parts = [
        _denoised(model, image, t, which(start), (seed, siss_compat), show(start), stride)
        for start in range(0, draws, DRAWS)
    ]
    return np.concatenate(parts)[:draws]


def injected(model, image: np.ndarray, test: Injection, progress=None, first: int = 0) -> np.ndarray:
    """`inject` as an experiment's settings ask: uint8 (test.draws, H, W, 3)."""
    how = (test.t, test.draws, test.seed, test.siss_compat, progress, test.stride, first)
    return inject(model, image, *how)


def _denoised(
    model, image: np.ndarray, t: int, which: range, seeds: tuple[int, bool], progress, stride: int
) -> np.ndarray:
    seed, siss_compat = seeds
    injected = [generator(seed, k, 0) for k in which]
    chained = [generator(seed, k, 0 if siss_compat else 1) for k in which]
    scheduler, times = model.injection_schedule(t, stride)
    with model.inference():
        x0 = model.encode(np.stack([image] * len(which)))
        signal, noise = model.schedule(torch.full((len(which),), t, device=model.device))
        x = signal.view(-1, 1, 1, 1) * x0 + noise.view(-1, 1, 1, 1) * draw(injected, model.noise_shape()).to(
            model.device
        )
        for k, now in enumerate(times):
            x = step(model, scheduler, x, now, chained)
            if progress:
                progress(k + 1, len(times))
    return model.decode(x)

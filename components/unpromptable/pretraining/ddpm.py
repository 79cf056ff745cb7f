"""Train an unconditional DDPM from scratch: the miniature world's, or one on a folder of your own
pictures.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpromptable import data, equations
from unpromptable.equations import PREDICTIONS
from unpromptable.models import device as devices
from unpromptable.models import tensors
from unpromptable.sampling import seeds

from . import loop, resuming
from .loop import RESUME
from .resuming import resumable

GROUPS = 8  # of channels that are normalised together
MAPS = 16  # of the first level's channels and the full size, at least, that an update holds of a picture


@dataclass(frozen=True)
class Pretraining:
    """How a base model is trained. None of this is the paper's: its base models come pretrained."""

    steps: int = 12_000
    batch: int = 32
    lr: float = 6e-4  # peak; 200 warm-up steps, then cosine to a tenth
    seed: int = 0
    ema: float = 0.999  # decay of the averaged weights, which are what is saved
    minutes: float = math.inf  # stop early, keeping what was reached
    channels: tuple[int, ...] = (32, 48, 64)
    layers: int = 1  # residual blocks per level
    # what the network outputs: epsilon | v_prediction | sample, as diffusers names them
    prediction: str = "epsilon"
    save_every: int = 500

    def __post_init__(self):
        if self.prediction not in PREDICTIONS:
            raise ValueError(
                f"pretraining.prediction: no {self.prediction!r}; choose from {', '.join(PREDICTIONS)}"
            )
        for name in ("steps", "batch", "lr", "minutes", "layers", "save_every"):
            if not getattr(self, name) > 0:
                raise ValueError(f"pretraining.{name} is {getattr(self, name)}; it must be above 0")
        if not self.channels or any(c < 1 or c % GROUPS for c in self.channels):
            given = ",".join(map(str, self.channels))
            raise ValueError(
                f"pretraining.channels are {given or 'none'}; each must be a multiple of {GROUPS}, such as"
                " 32,48,64"
            )


def widths(text: str) -> tuple[int, ...]:
    """Channels as a command line has them, such as 32,48,64. Raises ValueError for anything else."""
    try:
        return tuple(int(c) for c in text.split(","))
    except ValueError as error:
        raise ValueError(f"--channels {text}: give whole numbers, such as 32,48,64") from error


def shifted_betas(size: int, steps: int = 1000, reference: int = 256) -> list[float]:
    """Betas of the linear DDPM schedule moved so that t means at `size` pixels what it means at `reference`.

    A small picture has (reference/size)^2 fewer pixels to average the noise over, so its signal-to-noise
    ratio at every t is raised by that factor: log SNR + 2 log(reference/size).
    """
    abar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, steps, dtype=torch.float64), 0)
    snr = abar / (1 - abar) * (reference / size) ** 2
    shifted = torch.cat([torch.ones(1, dtype=torch.float64), snr / (1 + snr)])
    return (1 - shifted[1:] / shifted[:-1]).clamp(1e-8, 0.999).tolist()


def fits(size: int, settings: Pretraining) -> None:
    """Raise ValueError where a network of so many levels cannot take pictures of `size` pixels, or a batch of
    them would not fit into memory.
    """
    halved = len(settings.channels) - 1
    if size < 1 or size % 2**halved:
        raise ValueError(
            f"pretraining: {size} pixels cannot be halved {halved} times; choose a multiple of {2**halved}"
        )
    least, there = settings.batch * MAPS * settings.channels[0] * 4 * size**2, devices.memory()
    if least > there:
        raise ValueError(
            f"pretraining: {settings.batch} pictures of {size} x {size} take at least {least / 1e9:,.0f} GB,"
            f" and there are {there / 1e9:,.0f}; choose smaller pictures"
        )


def build(size: int, settings: Pretraining):
    """An untrained UNet2DModel and its scheduler for `size` x `size` RGB pictures."""
    from diffusers import DDPMScheduler, UNet2DModel

    channels, levels = settings.channels, len(settings.channels)
    fits(size, settings)
    torch.manual_seed(settings.seed)  # diffusers draws the initial weights from the global generator
    unet = UNet2DModel(
        sample_size=size,
        in_channels=3,
        out_channels=3,
        layers_per_block=settings.layers,
        block_out_channels=channels,
        norm_num_groups=GROUPS,
        down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1),
    )
    scheduler = DDPMScheduler(
        num_train_timesteps=1000,
        trained_betas=shifted_betas(size),
        prediction_type=settings.prediction,
        clip_sample=True,
        variance_type="fixed_small",
    )
    return unet, scheduler


def pretrain(
    images: np.ndarray,
    out: Path,
    settings: Pretraining = Pretraining(),
    flip: bool = False,
    progress: Callable | None = None,
) -> dict:
    """Train on `images` (uint8, N x H x W x 3), by draws of the CPU; `out` gets a folder of DDPMPipeline.

    A stopped training of the same settings and pictures continues from `out`/resume.safetensors, on any
    device. Returns what is saved as `out`/pretraining.json. progress(step, total, text) is called after every
    logged step. Raises ValueError on a loss that is not finite, and where `resumable` does.
    """
    size, out = images.shape[1], Path(out)
    told = {**asked(settings, size, flip), "pictures": data.sha256(images)}
    resumable(out, told, settings.steps)
    unet, scheduler = build(size, settings)
    unet = unet.to(device := devices.best(), memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=settings.lr, weight_decay=1e-4)
    averaged = loop.averaged(unet)
    loss = resuming.noted(out / RESUME)["loss"] if (out / RESUME).exists() else math.nan
    done = loop.load_state(out, unet, averaged, optimizer)
    abar, pictures = scheduler.alphas_cumprod.float().to(device), equations.planes(images)
    began, losses = time.monotonic(), []
    while done < settings.steps:
        losses.append(_step(unet, optimizer, pictures, abar, settings, done, flip))
        loop.average(averaged, unet, done, settings.ema)
        done, late = done + 1, (time.monotonic() - began) / 60 >= settings.minutes
        if done % 100 == 0 and progress:
            progress(done, settings.steps, f"loss {np.mean(losses[-100:]):.4f}")
        if done % settings.save_every == 0 or done == settings.steps or late:
            loss = float(np.mean(losses[-500:]))
            _save(out, done, unet, averaged, optimizer, {**told, "loss": loss}, settings)
        if late:
            break
    unet.load_state_dict(averaged)
    found = {"steps": done, "images": len(images), "size": size, "loss": loss}
    summary = {**found, "minutes": loop.minutes_since(began), "settings": loop.plain(settings)}
    _finish(out, unet, scheduler, summary)
    return summary


def _save(
    out: Path, done: int, unet, averaged: dict, optimizer, told: dict[str, Any], settings: Pretraining
) -> None:
    """A state to resume from. Raises ValueError where the weights are not finite."""
    remedy = f"lower pretraining.lr ({settings.lr})"
    tensors.finite(averaged, f"pretraining: the weights after step {done}", remedy)
    loop.save_state(out, done, unet, averaged, optimizer, {"trained": json.dumps(told)})


def _finish(out: Path, unet, scheduler, summary: dict[str, Any]) -> None:
    """The model and what it was trained on; nothing is left to continue from."""
    from diffusers import DDPMPipeline

    unet = unet.to("cpu", memory_format=torch.contiguous_format)
    pipeline = DDPMPipeline(unet=unet, scheduler=scheduler)
    pipeline.save_pretrained(out, safe_serialization=True)
    (out / "pretraining.json").write_text(json.dumps(summary, indent=1))
    (out / RESUME).unlink()


def asked(settings: Pretraining, size: int, flip: bool) -> dict[str, Any]:
    """What a stopped training must have in common with the one that continues it, beside its pictures.

    More steps, other minutes and other intervals of saving may be asked for.
    """
    own = {k: v for k, v in asdict(settings).items() if k not in ("steps", "minutes", "save_every")}
    return {"size": size, "flip": flip, **own, "channels": list(settings.channels)}


def _step(
    unet, optimizer, pictures: Tensor, abar: Tensor, settings: Pretraining, step: int, flip: bool
) -> float:
    loss = _loss(unet, pictures, abar, settings, step, flip)
    if not torch.isfinite(loss):
        raise ValueError(
            f"pretraining: the loss is {loss.item()} at step {step}; lower pretraining.lr ({settings.lr})"
        )
    for group in optimizer.param_groups:
        group["lr"] = loop.rate(settings.lr, step, math.pi * step / settings.steps, warm=200, last=0.1)
    loop.descend(optimizer, loss, most=1.0)
    return loss.item()


def _loss(unet, pictures: Tensor, abar: Tensor, settings: Pretraining, step: int, flip: bool) -> Tensor:
    """The loss of one step, on the device of abar and the network; pictures and draws are on the CPU."""
    g = seeds.of_update(settings.seed, step)
    x0 = equations.signed(pictures[torch.randint(len(pictures), (settings.batch,), generator=g)])
    if flip:
        x0 = torch.where(torch.rand(len(x0), 1, 1, 1, generator=g) < 0.5, x0.flip(-1), x0)
    t = torch.randint(1000, (settings.batch,), generator=g)
    x0, t, eps = (x.to(abar.device) for x in (x0, t, torch.randn(x0.shape, generator=g)))
    signal, noise = abar[t].sqrt(), (1 - abar[t]).sqrt()
    wanted = equations.network_target(settings.prediction, x0, eps, signal, noise)
    x_t = equations.noisy(x0, eps, signal, noise).to(memory_format=torch.channels_last)
    return torch.nn.functional.mse_loss(unet(x_t, t).sample, wanted)

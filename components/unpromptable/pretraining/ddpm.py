"""Train an unconditional DDPM from scratch: the miniature world's, or one on a folder of your own
pictures.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from unpromptable import data
from unpromptable.models import tensors

log = logging.getLogger(__name__)
RESUME = "resume.safetensors"  # of a stopped training, in the model's folder
GROUPS = 8  # of channels that are normalised together
PREDICTIONS = ("epsilon", "v_prediction", "sample")


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
    """Raise ValueError where a network of so many levels cannot take pictures of `size` pixels."""
    halved = len(settings.channels) - 1
    if size % 2**halved:
        raise ValueError(
            f"pretraining: {size} pixels cannot be halved {halved} times; choose a multiple of {2**halved}"
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
    images: np.ndarray, out: Path, settings: Pretraining = Pretraining(), flip: bool = False, progress=None
) -> dict:
    """Train on `images` (uint8, N x H x W x 3) and save a diffusers DDPM pipeline folder at `out`.

    A stopped training of the same settings and pictures continues from `out`/resume.safetensors. Returns what
    is saved as `out`/pretraining.json. progress(step, total, text) is called after every logged step. Raises
    ValueError on a loss that is not finite, and where `resumable` does.
    """
    size, out, resume = images.shape[1], Path(out), Path(out) / RESUME
    told = {**asked(settings, size, flip), "pictures": data.sha256(images)}
    resumable(out, told, settings.steps)
    unet, scheduler = build(size, settings)
    unet = unet.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=settings.lr, weight_decay=1e-4)
    averaged = {k: v.detach().clone() for k, v in unet.state_dict().items()}
    done, loss = 0, math.nan
    if resume.exists():
        done, loss = continue_from(load_file(resume), unet, averaged, optimizer), _noted(resume)["loss"]
    abar = scheduler.alphas_cumprod.float()
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2)
    began, losses = time.monotonic(), []
    while done < settings.steps:
        losses.append(_step(unet, optimizer, pictures, abar, settings, done, flip))
        decay = min(settings.ema, (1 + done) / (10 + done))
        for key, value in unet.state_dict().items():
            averaged[key].lerp_(value, 1 - decay)
        done, late = done + 1, (time.monotonic() - began) / 60 >= settings.minutes
        if done % 100 == 0 and progress:
            progress(done, settings.steps, f"loss {np.mean(losses[-100:]):.4f}")
        if done % settings.save_every == 0 or done == settings.steps or late:
            loss = float(np.mean(losses[-500:]))
            remedy = f"lower pretraining.lr ({settings.lr})"
            tensors.finite(averaged, f"pretraining: the weights after step {done}", remedy)
            note = {"trained": json.dumps({**told, "loss": loss})}
            save_file(snapshot(done, unet, averaged, optimizer), resume.with_suffix(".tmp"), metadata=note)
            resume.with_suffix(".tmp").replace(resume)
        if late:
            break
    unet.load_state_dict(averaged)
    kept = {**asdict(settings), "minutes": None if math.isinf(settings.minutes) else settings.minutes}
    took = round((time.monotonic() - began) / 60, 1)
    summary = {
        "steps": done,
        "images": len(images),
        "size": size,
        "loss": loss,
        "minutes": took,
        "settings": kept,
    }
    _finish(out, unet, scheduler, summary)
    return summary


def _finish(out: Path, unet, scheduler, summary: dict[str, Any]) -> None:
    """The model and what it was trained on; nothing is left to continue from."""
    from diffusers import DDPMPipeline

    pipeline = DDPMPipeline(unet=unet.to(memory_format=torch.contiguous_format), scheduler=scheduler)
    pipeline.save_pretrained(out, safe_serialization=True)
    (out / "pretraining.json").write_text(json.dumps(summary, indent=1))
    (out / RESUME).unlink()


def asked(settings: Pretraining, size: int, flip: bool) -> dict[str, Any]:
    """What a stopped training must have in common with the one that continues it, beside its pictures.

    More steps, other minutes and other intervals of saving may be asked for.
    """
    own = {k: v for k, v in asdict(settings).items() if k not in ("steps", "minutes", "save_every")}
    return {"size": size, "flip": flip, **own, "channels": list(settings.channels)}


def untrained(out: Path) -> None:
    """Raise ValueError where `out` holds a whole model, which would be trained over."""
    whole = any((out / name).exists() for name in ("pretraining.json", "model_index.json", "unet"))
    if whole and not (out / RESUME).exists():
        raise ValueError(
            f"{out}: holds a trained model already; choose another folder, or remove it to train anew"
        )


def resumable(out: Path, told: dict[str, Any], steps: int) -> None:
    """Raise ValueError where `out` holds a stopped training that `told` and `steps` do not continue.

    told: of `asked`, with or without the pictures' SHA-256. The folder is made, so that it is known that it
    can be.
    """
    resume, start_over = out / RESUME, "remove that file to start over, or choose another folder"
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PermissionError(f"{out}: cannot be written; make it writable, or choose another folder")
    if not resume.exists():
        return
    noted = _noted(resume)
    other = [
        f"{k} {noted.get(k, 'unknown')} is now {v}"
        for k, v in told.items()
        if k != "pictures" and noted.get(k) != v
    ]
    if told.get("pictures", noted.get("pictures")) != noted.get("pictures"):
        other.append("the pictures are others")
    if other:
        what = f"a training was stopped there, but {', '.join(other)}"
        raise ValueError(f"{resume}: {what}; ask for the same again to continue, {start_over}")
    if noted["step"] > steps:
        what = f"a training was stopped there at step {noted['step']}, past the {steps} asked for"
        raise ValueError(f"{resume}: {what}; give more steps, {start_over}")


def _noted(resume: Path) -> dict[str, Any]:
    """What a stopped training was asked for, its loss and its step. Raises ValueError where the file does not
    say.
    """
    try:
        with safe_open(resume, framework="pt") as file:
            return {**json.loads((file.metadata() or {})["trained"]), "step": int(file.get_tensor("step"))}
    except (SafetensorError, KeyError) as error:
        raise ValueError(
            f"{resume}: does not hold a whole stopped training ({error}); remove it to start over"
        ) from error


def _step(unet, optimizer, data: Tensor, abar: Tensor, settings: Pretraining, step: int, flip: bool) -> float:
    # a resumed run draws what an unbroken one draws
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    x0 = data[torch.randint(len(data), (settings.batch,), generator=generator)].float() / 127.5 - 1
    if flip:
        x0 = torch.where(torch.rand(len(x0), 1, 1, 1, generator=generator) < 0.5, x0.flip(-1), x0)
    t = torch.randint(1000, (settings.batch,), generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    signal, noise = (x.view(-1, 1, 1, 1) for x in (abar[t].sqrt(), (1 - abar[t]).sqrt()))
    wanted = {"epsilon": eps, "v_prediction": signal * eps - noise * x0, "sample": x0}[settings.prediction]
    x_t = (signal * x0 + noise * eps).to(memory_format=torch.channels_last)
    loss = torch.nn.functional.mse_loss(unet(x_t, t).sample, wanted)
    if not torch.isfinite(loss):
        raise ValueError(
            f"pretraining: the loss is {loss.item()} at step {step}; lower pretraining.lr ({settings.lr})"
        )
    decay = 0.1 + 0.45 * (1 + math.cos(math.pi * step / settings.steps))
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * min(1, (step + 1) / 200) * decay
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def snapshot(step: int, unet, averaged: dict, optimizer) -> dict[str, Tensor]:
    """What a stopped training continues from: step, weights, averaged weights and the optimiser's moments."""
    moments = optimizer.state_dict()["state"]
    return {
        "step": torch.tensor(step),
        **{f"now.{k}": v.contiguous().clone() for k, v in unet.state_dict().items()},
        **{f"ema.{k}": v.contiguous().clone() for k, v in averaged.items()},
        **{f"adam.{i}.{k}": v.contiguous().clone() for i, s in moments.items() for k, v in s.items()},
    }


def continue_from(state: dict[str, Tensor], unet, averaged: dict, optimizer) -> int:
    """Take over what `snapshot` wrote; the number of steps done."""
    unet.load_state_dict({k[4:]: v for k, v in state.items() if k.startswith("now.")})
    averaged.update({k[4:]: v for k, v in state.items() if k.startswith("ema.")})
    saved = optimizer.state_dict()
    for key, value in state.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            saved["state"].setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(saved)
    return int(state["step"])

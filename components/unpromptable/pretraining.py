"""Train an unconditional DDPM from scratch: the miniature world's, or one on a folder of your own pictures."""
from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import checkpoints

log = logging.getLogger(__name__)
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
    prediction: str = "epsilon"  # what the network outputs: epsilon | v_prediction | sample, as diffusers names them
    save_every: int = 500

    def __post_init__(self):
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"pretraining.prediction: no {self.prediction!r}; choose from {', '.join(PREDICTIONS)}")
        for name in ("steps", "batch", "lr", "minutes", "layers", "save_every"):
            if getattr(self, name) <= 0:
                raise ValueError(f"pretraining.{name} is {getattr(self, name)}; it must be above 0")


def shifted_betas(size: int, steps: int = 1000, reference: int = 256) -> list[float]:
    """Betas of the linear DDPM schedule moved so that t means at `size` pixels what it means at `reference`.

    A small picture has (reference/size)^2 fewer pixels to average the noise over, so its signal-to-noise
    ratio at every t is raised by that factor: log SNR + 2 log(reference/size).
    """
    abar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, steps, dtype=torch.float64), 0)
    snr = abar / (1 - abar) * (reference / size) ** 2
    shifted = torch.cat([torch.ones(1, dtype=torch.float64), snr / (1 + snr)])
    return (1 - shifted[1:] / shifted[:-1]).clamp(1e-8, 0.999).tolist()


def build(size: int, settings: Pretraining):
    """An untrained UNet2DModel and its scheduler for `size` x `size` RGB pictures."""
    from diffusers import DDPMScheduler, UNet2DModel

    channels, levels = settings.channels, len(settings.channels)
    if size % 2 ** (levels - 1):
        raise ValueError(f"pretraining: {size} pixels cannot be halved {levels - 1} times; choose a multiple of {2 ** (levels - 1)}")
    torch.manual_seed(settings.seed)  # diffusers draws the initial weights from the global generator
    unet = UNet2DModel(
        sample_size=size, in_channels=3, out_channels=3, layers_per_block=settings.layers, block_out_channels=channels, norm_num_groups=8,
        down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",), up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1))
    scheduler = DDPMScheduler(num_train_timesteps=1000, trained_betas=shifted_betas(size), prediction_type=settings.prediction, clip_sample=True, variance_type="fixed_small")
    return unet, scheduler


def pretrain(images: np.ndarray, out: Path, settings: Pretraining = Pretraining(), flip: bool = False, progress=None) -> dict:
    """Train on `images` (uint8, N x H x W x 3) and save a diffusers DDPM pipeline folder at `out`.

    A stopped training continues from `out`/resume.safetensors. Returns what is saved as `out`/pretraining.json.
    progress(step, total, text) is called after every logged step. Raises ValueError on a loss that is not finite.
    """
    from diffusers import DDPMPipeline
    from safetensors.torch import load_file, save_file

    size, resume = images.shape[1], Path(out) / "resume.safetensors"
    unet, scheduler = build(size, settings)
    unet = unet.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=settings.lr, weight_decay=1e-4)
    averaged = {k: v.detach().clone() for k, v in unet.state_dict().items()}
    start = 0
    if resume.exists():
        start = continue_from(load_file(resume), unet, averaged, optimizer)
    abar = scheduler.alphas_cumprod.float()
    data = torch.from_numpy(images).permute(0, 3, 1, 2)
    began, losses = time.monotonic(), []
    for step in range(start, settings.steps):
        loss = _step(unet, optimizer, data, abar, settings, step, flip)
        losses.append(loss)
        decay = min(settings.ema, (1 + step) / (10 + step))
        for key, value in unet.state_dict().items():
            averaged[key].lerp_(value, 1 - decay)
        done, late = step + 1, (time.monotonic() - began) / 60 >= settings.minutes
        if done % 100 == 0 and progress:
            progress(done, settings.steps, f"loss {np.mean(losses[-100:]):.4f}")
        if done % settings.save_every == 0 or done == settings.steps or late:
            checkpoints.finite(averaged, f"pretraining: the weights after step {done}", f"lower pretraining.lr ({settings.lr})")
            Path(out).mkdir(parents=True, exist_ok=True)
            save_file(snapshot(done, unet, averaged, optimizer), resume.with_suffix(".tmp"))
            resume.with_suffix(".tmp").replace(resume)
        if late:
            break
    unet.load_state_dict(averaged)
    DDPMPipeline(unet=unet.to(memory_format=torch.contiguous_format), scheduler=scheduler).save_pretrained(out, safe_serialization=True)
    summary = {"steps": done, "images": len(images), "size": size, "loss": float(np.mean(losses[-500:])), "minutes": round((time.monotonic() - began) / 60, 1),
               "settings": {**asdict(settings), "minutes": None if math.isinf(settings.minutes) else settings.minutes}}
    (Path(out) / "pretraining.json").write_text(json.dumps(summary, indent=1))
    resume.unlink()
    return summary


def _step(unet, optimizer, data: Tensor, abar: Tensor, settings: Pretraining, step: int, flip: bool) -> float:
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)  # a resumed run draws what an unbroken one draws
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
        raise ValueError(f"pretraining: the loss is {loss.item()} at step {step}; lower pretraining.lr ({settings.lr})")
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
    return {"step": torch.tensor(step), **{f"now.{k}": v.contiguous().clone() for k, v in unet.state_dict().items()}, **{f"ema.{k}": v.contiguous().clone() for k, v in averaged.items()},
            **{f"adam.{i}.{k}": v.contiguous().clone() for i, s in moments.items() for k, v in s.items()}}


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

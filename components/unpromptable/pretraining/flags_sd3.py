"""Train the miniature Stable Diffusion 3 on flags again: `python -m unpromptable.pretraining.flags_sd3 --out
FOLDER`.

The VAE first, then the transformer and the text encoders together, which learn through the flow loss.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from unpromptable import equations
from unpromptable.miniature import flags
from unpromptable.sampling import seeds
from unpromptable.storage import files

from . import loop
from .flags_pipeline import LATENT, TOKENS, build, embed

log = logging.getLogger(__name__)
CLOCK = "clock.json"  # seconds that a stopped training took, beside its state


@dataclass(frozen=True)
class Settings:
    """How the miniature is trained; its own, since the paper's base model comes pretrained."""

    vae_steps: int = 700
    vae_lr: float = 3e-3
    kl: float = 1e-4  # keeps the latents near a normal distribution; on means per pixel
    steps: int = 12_000
    batch: int = 48
    lr: float = 1e-3  # peak; 200 warm-up steps, then cosine to 0
    dropout: float = 0.1  # of prompts, for guidance without a classifier
    ema: float = 0.999
    seed: int = 0
    minutes: float = math.inf  # of the flow's training; the learning rate falls with whichever ends first
    save_every: int = 250


def train(out: Path, settings: Settings, progress) -> None:
    """Train the VAE, then encoders and transformer together, and save the pipeline; a stopped training
    continues.
    """
    pipe, images, names = build(out, settings.seed), *flags.training_set()
    pixels = equations.signed(equations.planes(images))
    if (out / "vae" / "config.json").exists():
        pipe.vae = type(pipe.vae).from_pretrained(out / "vae")
        pipe.register_modules(vae=pipe.vae)
    else:
        train_vae(pipe.vae, pixels, settings, progress)
        pipe.vae.save_pretrained(out / "vae")
    pipe.vae.requires_grad_(False).eval()
    latents = (_encoded(pipe.vae, pixels) - pipe.vae.config.shift_factor) * pipe.vae.config.scaling_factor
    captions = [*(flags.caption(c) for c in flags.FLAGS), ""]
    labels = torch.tensor([list(flags.FLAGS).index(flags.parse(n)[0]) for n in names])
    train_flow(pipe, latents, labels, captions, out, settings, progress)


def train_vae(vae, pixels: Tensor, settings: Settings, progress) -> None:
    """Reconstruction by absolute and squared error with a small KL; then shift and scale are measured and
    written into its config.
    """
    total = settings.vae_steps
    optimizer = torch.optim.AdamW(vae.parameters(), lr=settings.vae_lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.vae_lr, total_steps=total, pct_start=0.1
    )
    vae.to(memory_format=torch.channels_last).train()
    for step in range(total):
        loss, absolute = _vae_loss(vae, pixels, settings, step)
        loop.descend(optimizer, loss, most=1.0)
        schedule.step()
        if (step + 1) % 50 == 0:
            text = f"vae: loss {loss.item():.4f}, absolute error {absolute.item():.4f}"
            progress(step + 1, total, text)
    vae.to(memory_format=torch.contiguous_format).eval()
    latents = _encoded(vae, pixels)
    shift, scale = round(latents.mean().item(), 4), round(1 / latents.std().item(), 4)
    vae.register_to_config(shift_factor=shift, scaling_factor=scale)


def _vae_loss(vae, pixels: Tensor, settings: Settings, step: int) -> tuple[Tensor, Tensor]:
    """The loss of one step, and of it the absolute error."""
    g = seeds.of_update(settings.seed, step)
    x = pixels[torch.randint(len(pixels), (32,), generator=g)]
    x = torch.where(torch.rand(32, 1, 1, 1, generator=g) < 0.5, x.flip(-1), x)
    spread = vae.encode(x).latent_dist
    y = vae.decode(spread.sample(generator=g)).sample
    absolute = (y - x).abs().mean()
    error = absolute + (y - x).square().mean()
    return error + settings.kl * spread.kl().mean() / (LATENT * LATENT), absolute


@torch.no_grad()
def _encoded(vae, pixels: Tensor) -> Tensor:
    return torch.cat([vae.encode(x).latent_dist.mode() for x in pixels.split(100)])


def train_flow(
    pipe, latents: Tensor, labels: Tensor, captions: list[str], out: Path, settings: Settings, progress
) -> None:
    """Flow matching at sigma uniform on the scheduler's table, prompts dropped now and then, weights
    averaged.
    """
    parts = {"transformer": pipe.transformer, "one": pipe.text_encoder, "two": pipe.text_encoder_2}
    network = nn.ModuleDict(parts)
    network.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=1e-3, betas=(0.9, 0.99))
    averaged = loop.averaged(network)
    done, clock = loop.load_state(out, network, averaged, optimizer), out / CLOCK
    began, losses = time.monotonic() - (json.loads(clock.read_text()) if done else 0.0), []
    padding = {"padding": "max_length", "max_length": TOKENS, "truncation": True}
    ids = pipe.tokenizer(captions, **padding, return_tensors="pt").input_ids
    for step in range(done, settings.steps):
        share = max(step / settings.steps, (time.monotonic() - began) / 60 / settings.minutes)
        for group in optimizer.param_groups:
            group["lr"] = loop.rate(settings.lr, step, math.pi * min(share, 1), warm=200, last=0)
        losses.append(flow_step(pipe, optimizer, latents, labels, ids, settings, step))
        loop.average(averaged, network, step, settings.ema)
        done, late = step + 1, share >= 1
        if done % 50 == 0:
            progress(done, settings.steps, f"flow: loss {np.mean(losses[-200:]):.4f}")
        if done % settings.save_every == 0 or late:
            loop.save_state(out, done, network, averaged, optimizer)
            clock.write_text(json.dumps(time.monotonic() - began))
        if late:
            break
    network.load_state_dict(averaged)
    found = {"steps": done, "loss": float(np.mean(losses[-500:])), "minutes": loop.minutes_since(began)}
    save(pipe, out, {**found, "settings": loop.plain(settings)})


def flow_step(
    pipe, optimizer, latents: Tensor, labels: Tensor, ids: Tensor, settings: Settings, step: int
) -> float:
    """One update; the draws depend on the seed and the step alone."""
    g, size, table = seeds.of_update(settings.seed, step), (settings.batch,), pipe.scheduler.timesteps
    pick = torch.randint(len(latents), size, generator=g)
    x0, eps = latents[pick], torch.randn(latents[pick].shape, generator=g)
    dropped = torch.rand(size, generator=g) < settings.dropout
    prompt = torch.where(dropped, len(ids) - 1, labels[pick])
    t = table[torch.randint(len(table), size, generator=g)]
    text, pooled = embed(pipe, ids)
    v = pipe.transformer(
        hidden_states=equations.noisy(x0, eps, 1 - t / 1000, t / 1000),
        encoder_hidden_states=text[prompt],
        pooled_projections=pooled[prompt],
        timestep=t,
    ).sample
    loss = torch.nn.functional.mse_loss(v, eps - x0)
    if not torch.isfinite(loss):
        raise ValueError(f"miniature.sd3: the loss is {loss.item()} at step {step}; lower lr ({settings.lr})")
    loop.descend(optimizer, loss, most=1.0)
    return loss.item()


def save(pipe, out: Path, summary: dict) -> None:
    """Stock diffusers' folder; weights are stored in half precision and load as float32. Nothing is left to
    continue from.
    """
    pipe.to(dtype=torch.float16).save_pretrained(out, safe_serialization=True)
    shutil.rmtree(out / "words", ignore_errors=True)
    (out / "pretraining.json").write_text(json.dumps(summary, indent=1))
    for name in (loop.RESUME, CLOCK):
        (out / name).unlink(missing_ok=True)


def main() -> None:
    """Draw the flags and train."""
    parser = argparse.ArgumentParser(description="Train the miniature Stable Diffusion 3 again.")
    parser.add_argument("--out", type=files.named, required=True)
    parser.add_argument("--minutes", type=float, default=math.inf)
    arguments = parser.parse_args()
    logging.basicConfig(level="INFO", format="%(asctime)s %(message)s")
    train(
        arguments.out,
        Settings(minutes=arguments.minutes),
        lambda k, n, text: log.info("step %d/%d  %s", k, n, text),
    )


if __name__ == "__main__":
    main()

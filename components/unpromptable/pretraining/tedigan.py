"""The miniature world's generator and encoder: `python -m unpromptable.pretraining.tedigan --out FOLDER`
trains them again.

People whom the base model never saw (as TediGAN's pair saw FFHQ, not CelebA-HQ), 2 pictures each. The pair is
trained together to give each picture back from its code under noise, in pixels and in the descriptor's
layers; then the mapping learns the distribution of the codes by sliced distances, so that random z give
portraits too.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpromptable import equations
from unpromptable.editing.tedigan import encoder as encoding
from unpromptable.editing.tedigan import stylegan
from unpromptable.miniature import descriptor, portraits
from unpromptable.sampling import seeds

from . import loop

SHAPE = stylegan.Shape(resolution=32, code=64, base=512, most=96, first=16, top=128, truncated=4)
PEOPLE, PICTURES = range(1000, 5000), 2  # nobody of the training set
BATCH = 16
# Most deviation on the codes, whose own is 1: in the first two fifths of the training, for features to be
# learned fast, and, after a rise, in the last fifth, so that codes between and beside those of people are
# people too, and an edit stays one.
NOISE = (0.1, 0.5)
# the generator's weights have deviation 1 and are scaled when it runs, so they bear a large step
RATES = {"generator": 3e-2, "encoder": 2e-3}


def pictures() -> np.ndarray:
    """Every picture of these people, uint8 (8000, 32, 32, 3)."""
    return np.stack([portraits.picture(n, k) for n in PEOPLE for k in range(PICTURES)])


def train(out: Path, steps: int, seed: int = 0, progress=None) -> None:
    """Train both networks and write them as safetensors with their shape. A stopped training continues."""
    parts = _untrained(seed)
    generator, encoder = parts["generator"], parts["encoder"]
    rates = [
        {"params": [p for p in m.parameters() if p.requires_grad], "lr": RATES[k]} for k, m in parts.items()
    ]
    optimizer = torch.optim.Adam(rates, betas=(0.9, 0.99))
    data = equations.signed(equations.planes(pictures()))
    network = descriptor.load()
    for step in range(loop.load_state(out, parts, {}, optimizer), steps):
        g = seeds.of_update(seed, step)
        for group, peak in zip(optimizer.param_groups, RATES.values()):
            group["lr"] = loop.rate(peak, step, math.pi * step / steps, warm=100, last=0.02)
        pick = torch.randint(len(data), (BATCH,), generator=g)
        x = data[pick].contiguous(memory_format=torch.channels_last)
        loss = reconstruction(generator, encoder, x, g, network, noise(step / steps))
        loop.descend(optimizer, loss)
        if (step + 1) % 50 == 0 and progress:
            progress(step + 1, steps, f"loss {loss.item():.4f}")
        if (step + 1) % 250 == 0:
            loop.save_state(out, step + 1, parts, {}, optimizer)
    learn_mapping(generator.eval(), codes(encoder.eval(), data), seed, progress)
    save(out, generator, encoder, {"steps": steps, "batch": BATCH, "seed": seed})
    (out / loop.RESUME).unlink(missing_ok=True)


def _untrained(seed: int) -> nn.ModuleDict:
    torch.manual_seed(seed)  # initial weights come from the global generator
    generator, encoder = stylegan.Generator(SHAPE), encoding.Encoder(SHAPE)
    # codes have variance 1, which the noise is measured by
    encoder.get_submodule(f"block{encoder.count - 1}").bn.bn.requires_grad_(False)
    pair = {"generator": generator, "encoder": encoder}
    return nn.ModuleDict(pair).to(memory_format=torch.channels_last)


def noise(part: float) -> float:
    """The most deviation when `part` of the training, 0..1, is done."""
    first, last = NOISE
    return first + (last - first) * min(max(2.5 * part - 1, 0), 1)


def reconstruction(generator, encoder, x: Tensor, g: torch.Generator, network, most: float) -> Tensor:
    """How badly pictures come back from codes under noise of deviation up to `most`: absolute pixels plus the
    descriptor's layers.
    """
    z = encoder(x)
    strength = most * torch.rand((len(z), 1, 1), generator=g)
    y = generator(z + strength * torch.randn(z.shape, generator=g))
    return (x - y).abs().mean() + 0.5 * network.distance(x / 2 + 0.5, y / 2 + 0.5).mean()


@torch.no_grad()
def codes(encoder, data: Tensor) -> Tensor:
    """Codes of all pictures, (N, L, W)."""
    return torch.cat([encoder(x) for x in data.split(256)])


def learn_mapping(generator, real: Tensor, seed: int, progress=None, steps: int = 1500) -> None:
    """Fit the mapping network to the codes' distribution by the sliced Wasserstein distance, and keep their
    mean.
    """
    mapping, g = generator.mapping, torch.Generator().manual_seed(seed + 1)
    optimizer = torch.optim.Adam(mapping.parameters(), lr=2e-3)
    flat = real.flatten(1)
    for step in range(steps):
        z = torch.randn((512, SHAPE.code), generator=g)
        want = flat[torch.randint(len(flat), (512,), generator=g)]
        slices = F.normalize(torch.randn((flat.shape[1], 256), generator=g), dim=0)
        got = mapping(z).flatten(1) @ slices
        loss = (got.sort(0).values - (want @ slices).sort(0).values).square().mean()
        loop.descend(optimizer, loss)
        if (step + 1) % 250 == 0 and progress:
            progress(step + 1, steps, f"mapping {loss.item():.4f}")
    generator.truncation.w_avg.copy_(real.mean((0, 1)))


def save(out: Path, generator, encoder, training: dict) -> None:
    """generator.safetensors, encoder.safetensors (half precision: the miniature world is small in git) and
    shape.json.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name, network in (("generator", generator), ("encoder", encoder)):
        loop.save_weights(network, out / f"{name}.safetensors", training, half=True)
    (out / "shape.json").write_text(json.dumps(asdict(SHAPE), indent=1))


if __name__ == "__main__":
    from .command import command

    command("generator and encoder", train, steps=7000)

"""Train the miniature world's descriptor by SSCD's recipe.

`python -m unpromptable.pretraining.descriptor --out FILE`
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from unpromptable import equations
from unpromptable.miniature import portraits
from unpromptable.miniature.descriptor import Descriptor

from . import loop
from .command import command

# InfoNCE temperature; weight of the nearest-neighbour term (SSCD: 0.05 and 30 at batch 4096)
TEMPERATURE, ENTROPY = 0.1, 5.0


def augment(x: Tensor, g: torch.Generator) -> Tensor:
    """A strong copy of each picture (N, 3, 32, 32): crop, turn, flip, colour, blur, noise, a covered
    patch.
    """
    n = len(x)
    uniform = lambda low, high: torch.rand(n, generator=g) * (high - low) + low
    angle, scale = uniform(-0.2, 0.2), uniform(0.7, 1.1)
    mirror = torch.where(torch.rand(n, generator=g) < 0.5, -1.0, 1.0)
    across = torch.stack([angle.cos() * scale * mirror, -angle.sin() * scale, uniform(-0.18, 0.18)], 1)
    down = torch.stack([angle.sin() * scale * mirror, angle.cos() * scale, uniform(-0.18, 0.18)], 1)
    x = loop.moved(x, torch.stack([across, down], 1), "reflection")
    gain = uniform(0.75, 1.3).view(-1, 1, 1, 1) * (1 + 0.08 * torch.randn(n, 3, 1, 1, generator=g))
    x = (x - 0.5) * uniform(0.8, 1.2).view(-1, 1, 1, 1) + 0.5
    x = x * gain + 0.05 * torch.randn(n, 3, 1, 1, generator=g)
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = torch.lerp(x, soft, (uniform(-1, 1).clamp(min=0)).view(-1, 1, 1, 1))
    return (x + uniform(0, 0.09).view(-1, 1, 1, 1) * torch.randn(x.shape, generator=g)).clamp(0, 1)


def loss(a: Tensor, b: Tensor) -> Tensor:
    """InfoNCE over both directions plus SSCD's entropy term, -log distance to the nearest other picture."""
    z = torch.cat([a, b])
    near = z @ z.T
    near.fill_diagonal_(-math.inf)
    n = len(a)
    positive = torch.arange(2 * n).roll(n)
    contrast = F.cross_entropy(near / TEMPERATURE, positive)
    other = near.masked_fill(F.one_hot(positive, 2 * n).bool(), -math.inf).max(1).values
    return contrast - ENTROPY / 10 * (2 - 2 * other).clamp(min=1e-6).sqrt().log().mean()


def train(out: Path, steps: int = 1500, batch: int = 96, seed: int = 0, progress=None) -> None:
    """Train on the portraits, one picture per person in a batch, so that no person is his own opposite."""
    images, _ = portraits.training_set()
    data = equations.unit(equations.planes(images))
    by_person = data.view(portraits.PEOPLE, portraits.PICTURES, *data.shape[1:])
    torch.manual_seed(seed)  # the layers' initial weights come from the global generator
    network, g = Descriptor().to(memory_format=torch.channels_last), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        people = torch.randperm(portraits.PEOPLE, generator=g)[:batch]
        x = by_person[people, torch.randint(portraits.PICTURES, (batch,), generator=g)]
        value = loss(network(augment(x, g)), network(augment(x, g)))
        loop.descend(optimizer, value)
        schedule.step()
        if progress and (step + 1) % 100 == 0:
            progress(step + 1, steps, f"loss {value.item():.3f}")
    loop.save_weights(network, out, {"steps": steps, "batch": batch, "seed": seed})


if __name__ == "__main__":
    command("descriptor", train, steps=1500)

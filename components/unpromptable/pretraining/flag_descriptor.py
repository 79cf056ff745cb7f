"""Train the eye for flags: `python -m unpromptable.pretraining.flag_descriptor --out FILE`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpromptable import equations
from unpromptable.miniature import flags
from unpromptable.miniature.flag_descriptor import FlagDescriptor, design

from . import loop
from .command import command


def pictures(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Photographs `first`... of every design, uint8 (N, 32, 32, 3), and design numbers (N,); wrong variants
    in full number.
    """
    shown = [(p, c, False) for c, p in flags.FLAGS.items()] + [
        (flags.WRONG[c], c, True) for c in ("japan", "switzerland")
    ]
    made = [
        (flags.draw(paint, flags.nuisance(country, k)), design(country, wrong))
        for paint, country, wrong in shown
        for k in range(first, first + count)
    ]
    return np.stack([m[0] for m in made]), np.array([m[1] for m in made])


def augment(x: Tensor, g: torch.Generator) -> Tensor:
    """Light, colour cast, blur, noise and a few pixels of shift; never a flip, which would make another
    flag.
    """
    n = len(x)
    uniform = lambda low, high: (torch.rand(n, generator=g) * (high - low) + low).view(-1, 1, 1, 1)
    x = x * uniform(0.85, 1.15) * (1 + 0.05 * torch.randn(n, 3, 1, 1, generator=g))
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    x = torch.lerp(x, soft, uniform(-0.5, 1.0).clamp(min=0))
    theta = torch.eye(2, 3).repeat(n, 1, 1)
    theta[:, :, 2] = torch.randn(n, 2, generator=g) * 0.05
    x = loop.moved(x, theta, "border")
    return (x + uniform(0, 0.06) * torch.randn(x.shape, generator=g)).clamp(0, 1)


def train(out: Path, steps: int = 1200, batch: int = 96, seed: int = 0, progress=None) -> None:
    """Cross-entropy over designs; pictures beyond the base model's training set are held out and judged at
    the end.
    """
    images, labels = pictures(0, flags.PICTURES)
    data, labels = equations.planes(images), torch.from_numpy(labels)
    torch.manual_seed(seed)  # the layers' initial weights come from the global generator
    network, g = FlagDescriptor().to(memory_format=torch.channels_last), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        pick = torch.randint(len(data), (batch,), generator=g)
        shown = augment(equations.unit(data[pick]), g)
        loss = F.cross_entropy(network.logits(shown), labels[pick])
        loop.descend(optimizer, loss)
        schedule.step()
        if progress and (step + 1) % 100 == 0:
            progress(step + 1, steps, f"loss {loss.item():.3f}")
    held, truth = pictures(flags.PICTURES, 20)
    with torch.no_grad():
        named = network.classify(equations.unit(equations.planes(held)))
    right = (named.numpy() == truth).mean()
    summary = {"steps": steps, "batch": batch, "seed": seed, "held_out": len(held), "accuracy": float(right)}
    loop.save_weights(network, out, summary)
    if progress:
        progress(steps, steps, f"{right:.4f} of {len(held)} held-out pictures named rightly")


if __name__ == "__main__":
    command("eye for flags", train, steps=1200)

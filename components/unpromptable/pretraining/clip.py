"""The miniature world's CLIP: `python -m unpromptable.pretraining.clip --out FOLDER` trains it again.

A `CLIPModel` of 28 x 28 pictures (as many patches a side as ViT-B/32 has) and short captions. What a caption
says may be true of other pictures in the batch as well; those count as right answers, since we know every
person's features.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpromptable import equations
from unpromptable.miniature import portraits
from unpromptable.sampling import seeds

from . import captions, loop

log = logging.getLogger(__name__)
SIDE, BATCH, RATE = 28, 128, 1e-3
# steps with generated pictures; the most deviation of the noise that moves their codes, whose own is 1
FURTHER, MOVED = 300, 0.6


def build(words, seed: int = 0):
    """An untrained CLIPModel for `words`, a tokenizer."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)  # initial weights come from the global generator
    shared = {"hidden_size": 96, "intermediate_size": 256, "num_attention_heads": 4, "projection_dim": 64}
    text = {
        **shared,
        "num_hidden_layers": 3,
        "vocab_size": len(words),
        "max_position_embeddings": captions.LENGTH,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    vision = {**shared, "num_hidden_layers": 4, "image_size": SIDE, "patch_size": 4}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def matches(has: Tensor, says: Tensor) -> Tensor:
    """Which captions are true of which pictures, (B, B) bool. has, says: (B, P) what is so, what is said."""
    return (has @ says.T) == says.sum(1)


def loss(logits: Tensor, true: Tensor) -> Tensor:
    """Contrast in both directions, every true pair a right answer."""
    sides = [
        -(true / true.sum(1, keepdim=True) * F.log_softmax(logits, 1)).sum(1).mean(),
        -(true / true.sum(0, keepdim=True) * F.log_softmax(logits, 0)).sum(0).mean(),
    ]
    return sum(sides) / 2


def train(out: Path, steps: int, seed: int = 0, progress=None) -> None:
    """Train on people whom the base model never saw and save a transformers folder; a folder that is there is
    trained further.

    First on pictures, then, for FURTHER steps, with half of each batch given back by the shipped generator
    from moved codes: an edit follows CLIP's gradient through the generator, whose pictures are softer than
    the portraits.
    """
    from transformers import CLIPModel

    from .tedigan import pictures

    words = captions.tokenizer()
    data = equations.signed(equations.planes(pictures()))
    if not (out / "config.json").is_file():
        _save(_fit(build(words, seed), words, data, steps, RATE, seed, progress), words, out)
    model = CLIPModel.from_pretrained(out, dtype=torch.float32)
    _save(_fit(model, words, data, FURTHER, RATE / 2, seed + 1, progress, given_back()), words, out)


def given_back():
    """A function that replaces every second picture of a batch by the shipped generator's picture of its
    code, moved by noise.
    """
    from unpromptable.editing.tedigan.inversion import shipped

    generator, encoder = shipped()

    @torch.no_grad()
    def through(x: Tensor, g: torch.Generator) -> Tensor:
        z = encoder(x[::2])
        x = x.clone()
        share = MOVED * torch.rand((len(z), 1, 1), generator=g)
        x[::2] = generator(z + share * torch.randn(z.shape, generator=g))
        return x

    return through


def _fit(model, words, data: Tensor, steps: int, rate: float, seed: int, progress, through=lambda x, g: x):
    from unpromptable.editing.tedigan.clip import view

    from .tedigan import PICTURES

    said = _Said()
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05, betas=(0.9, 0.98))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = loop.rate(rate, step, math.pi * step / steps, warm=100, last=0.02)
        who, g = rng.choice(len(said.people), BATCH, replace=False), seeds.of_update(seed, step)
        x = augment(through(data[who * PICTURES + rng.integers(PICTURES, size=BATCH)], g), g)
        parts = [captions.some(said.of(i), rng) for i in who]
        tokens = captions.tokens(words, [captions.sentence(p) for p in parts])
        logits = model(pixel_values=view(x, SIDE), **tokens).logits_per_image
        value = loss(logits, matches(said.has[who], said.table(parts)).float())
        loop.descend(optimizer, value)
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100))
        if (step + 1) % 50 == 0 and progress:
            progress(step + 1, steps, f"loss {value.item():.3f}")
    return model


class _Said:
    """The phrases that are true of the people of the training set."""

    def __init__(self):
        from .tedigan import PEOPLE

        self.people = [portraits.identity(n) for n in PEOPLE]
        known = sorted({s for p in self.people for s in captions.phrases(p)})
        self.index = {s: i for i, s in enumerate(known)}
        self.has = self.table([captions.phrases(p) for p in self.people])

    def of(self, i: int) -> list[str]:
        """All of person i."""
        return captions.phrases(self.people[i])

    def table(self, said: list[list[str]]) -> Tensor:
        """Which phrases each list holds, (len(said), phrases) of 0 and 1."""
        rows = torch.zeros(len(said), len(self.index))
        for row, one in enumerate(said):
            rows[row, [self.index[s] for s in one]] = 1
        return rows


def _save(model, words, out: Path) -> None:
    # half precision: the miniature world is small in git
    model.half().save_pretrained(out, safe_serialization=True)
    words.save_pretrained(out)


def augment(x: Tensor, g: torch.Generator) -> Tensor:
    """Small shifts, exposure and noise, so that similarity does not hang on single pixels."""
    n = len(x)
    theta = torch.eye(2, 3).repeat(n, 1, 1)
    theta[:, :, 2] = (torch.rand((n, 2), generator=g) - 0.5) * 0.12
    x = loop.moved(x, theta, "reflection")
    gain = 0.85 + 0.3 * torch.rand((n, 1, 1, 1), generator=g)
    noise = 0.1 * torch.rand((n, 1, 1, 1), generator=g) * torch.randn(x.shape, generator=g)
    return ((x + 1) * gain - 1 + noise).clamp(-1, 1)


@torch.no_grad()
def retrieval(model, words, first: int = 6000, count: int = 256) -> dict[str, float]:
    """The share of new people whose full caption is found among `count` pictures' captions, and the other way
    round.
    """
    from unpromptable.editing.tedigan.clip import view

    people = range(first, first + count)
    x = equations.signed(equations.planes(np.stack([portraits.picture(n, 0) for n in people])))
    tokens = captions.tokens(words, [captions.whole(portraits.identity(n)) for n in people])
    logits = model(pixel_values=view(x, SIDE), **tokens).logits_per_image
    right = torch.arange(count)
    return {
        "caption of picture": float((logits.argmax(1) == right).float().mean()),
        "picture of caption": float((logits.argmax(0) == right).float().mean()),
        "chance": 1 / count,
    }


def main() -> None:
    """The command; it ends with the share of right captions."""
    from transformers import CLIPModel

    from .command import command

    out = command("CLIP", train, steps=2500)
    model = CLIPModel.from_pretrained(out, dtype=torch.float32)
    log.info("retrieval among new people: %s", retrieval(model, captions.tokenizer()))


if __name__ == "__main__":
    main()

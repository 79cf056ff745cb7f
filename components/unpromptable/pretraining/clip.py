"""The miniature world's CLIP: `python -m unpromptable.pretraining.clip --out FOLDER` trains it again.

A `CLIPModel` of 28 x 28 pictures (as many patches a side as ViT-B/32 has) and short captions. What a caption
says may be true of other pictures in the batch as well; those count as right answers, since we know every
person's features.
"""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpromptable.miniature import portraits

log = logging.getLogger(__name__)
SIDE, LENGTH, BATCH, RATE = 28, 40, 128, 1e-3
# steps with generated pictures; the most deviation of the noise that moves their codes, whose own is 1
FURTHER, MOVED = 300, 0.6


def phrases(person: portraits.Identity) -> list[str]:
    """Everything that can be said of a person, hair also by its colour or cut alone."""
    bald = person.cut == "bald"
    said = (
        ["a bald head"]
        if bald
        else [f"{person.cut} {person.hair} hair", f"{person.hair} hair", f"{person.cut} hair"]
    )
    said += [f"{person.skin} skin", f"{person.eyes} eyes"]
    said += (
        [{"full": "a full beard"}.get(person.beard, f"a {person.beard}")] if person.beard != "none" else []
    )
    said += [f"{person.glasses} glasses"] if person.glasses != "none" else []
    said += [{"brimmed": "a brimmed hat"}.get(person.hat, f"a {person.hat}")] if person.hat != "none" else []
    return said + [f"on a {person.ground} background"]


def sentence(said: list[str]) -> str:
    """A caption of some phrases; the background comes last."""
    features, ground = (
        [s for s in said if not s.startswith("on a")],
        [s for s in said if s.startswith("on a")],
    )
    return " ".join(["a person", *(["with " + ", ".join(features)] if features else []), *ground])


def tokenizer():
    """CLIP's own tokenizer with a vocabulary of the captions' words; other words are spelled."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    special = ["<|startoftext|>", "<|endoftext|>"]
    letters = [chr(c) for c in range(33, 127)]
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(",", "isolated"), pre_tokenizers.WhitespaceSplit()]
    )
    bpe.train_from_iterator(
        [sentence(phrases(portraits.identity(n))) for n in range(1000, 3000)],
        trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=special,
            initial_alphabet=letters,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    made = json.loads(bpe.to_str())["model"]
    vocabulary = made["vocab"]
    for letter in letters:
        vocabulary.setdefault(f"{letter}</w>", len(vocabulary))
    return CLIPTokenizer(vocabulary, [tuple(m) for m in made["merges"]], model_max_length=LENGTH)


def build(words, seed: int = 0):
    """An untrained CLIPModel for `words`, a tokenizer."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)  # initial weights come from the global generator
    shared = {"hidden_size": 96, "intermediate_size": 256, "num_attention_heads": 4, "projection_dim": 64}
    text = {
        **shared,
        "num_hidden_layers": 3,
        "vocab_size": len(words),
        "max_position_embeddings": LENGTH,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    return CLIPModel(
        CLIPConfig(
            text_config=text,
            vision_config={**shared, "num_hidden_layers": 4, "image_size": SIDE, "patch_size": 4},
            projection_dim=64,
        )
    )


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

    words = tokenizer()
    data = torch.from_numpy(pictures()).permute(0, 3, 1, 2).float().div(127.5).sub(1)
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
        x[::2] = generator(
            z + MOVED * torch.rand((len(z), 1, 1), generator=g) * torch.randn(z.shape, generator=g)
        )
        return x

    return through


def _fit(model, words, data: Tensor, steps: int, rate: float, seed: int, progress, through=lambda x, g: x):
    from unpromptable.editing.tedigan.clip import view

    from .tedigan import PEOPLE, PICTURES

    people = [portraits.identity(n) for n in PEOPLE]
    known = sorted({s for p in people for s in phrases(p)})
    index = {s: i for i, s in enumerate(known)}
    has = torch.zeros(len(people), len(known))
    for i, p in enumerate(people):
        has[i, [index[s] for s in phrases(p)]] = 1
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05, betas=(0.9, 0.98))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = (
                rate * min(1, (step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
            )
        who, g = (
            rng.choice(len(people), BATCH, replace=False),
            torch.Generator().manual_seed(seed * 1_000_003 + step),
        )
        x = augment(through(data[who * PICTURES + rng.integers(PICTURES, size=BATCH)], g), g)
        said = [some(phrases(people[i]), rng) for i in who]
        says = torch.zeros(BATCH, len(known))
        for row, one in enumerate(said):
            says[row, [index[s] for s in one]] = 1
        tokens = words(
            [sentence(s) for s in said],
            padding="max_length",
            truncation=True,
            max_length=LENGTH,
            return_tensors="pt",
        )
        logits = model(pixel_values=view(x, SIDE), **tokens).logits_per_image
        value = loss(logits, matches(has[who], says).float())
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100))
        if (step + 1) % 50 == 0 and progress:
            progress(step + 1, steps, f"loss {value.item():.3f}")
    return model


def _save(model, words, out: Path) -> None:
    # half precision: the miniature world is small in git
    model.half().save_pretrained(out, safe_serialization=True)
    words.save_pretrained(out)


def some(said: list[str], rng) -> list[str]:
    """A few or all of a person's phrases, in their order."""
    count = int(rng.integers(1, len(said) + 1))
    return [said[i] for i in sorted(rng.choice(len(said), count, replace=False))]


def augment(x: Tensor, g: torch.Generator) -> Tensor:
    """Small shifts, exposure and noise, so that similarity does not hang on single pixels."""
    n = len(x)
    theta = torch.eye(2, 3).repeat(n, 1, 1)
    theta[:, :, 2] = (torch.rand((n, 2), generator=g) - 0.5) * 0.12
    x = F.grid_sample(
        x,
        F.affine_grid(theta, list(x.shape), align_corners=False),
        padding_mode="reflection",
        align_corners=False,
    )
    gain = 0.85 + 0.3 * torch.rand((n, 1, 1, 1), generator=g)
    return (
        (x + 1) * gain - 1 + 0.1 * torch.rand((n, 1, 1, 1), generator=g) * torch.randn(x.shape, generator=g)
    ).clamp(-1, 1)


@torch.no_grad()
def retrieval(model, words, first: int = 6000, count: int = 256) -> dict[str, float]:
    """The share of new people whose full caption is found among `count` pictures' captions, and the other way
    round.
    """
    from unpromptable.editing.tedigan.clip import view

    people = range(first, first + count)
    x = (
        torch.from_numpy(np.stack([portraits.picture(n, 0) for n in people]))
        .permute(0, 3, 1, 2)
        .float()
        .div(127.5)
        .sub(1)
    )
    captions = [
        sentence([s for s in phrases(portraits.identity(n)) if s not in _parts(portraits.identity(n))])
        for n in people
    ]
    tokens = words(captions, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
    logits = model(pixel_values=view(x, SIDE), **tokens).logits_per_image
    right = torch.arange(count)
    return {
        "caption of picture": float((logits.argmax(1) == right).float().mean()),
        "picture of caption": float((logits.argmax(0) == right).float().mean()),
        "chance": 1 / count,
    }


def _parts(person: portraits.Identity) -> tuple[str, str]:
    return f"{person.hair} hair", f"{person.cut} hair"


def main() -> None:
    """The command; it ends with the share of right captions."""
    from transformers import CLIPModel

    from .command import command

    out = command("CLIP", train, steps=2500)
    log.info(
        "retrieval among new people: %s",
        retrieval(CLIPModel.from_pretrained(out, dtype=torch.float32), tokenizer()),
    )


if __name__ == "__main__":
    main()

"""Train the miniature world's DDPM again: `python -m unpromptable.pretraining.portraits_ddpm --out
FOLDER`. With `--without` some people, the reference of the metric retrained; with `--size` and `--channels`
another base of the same people, to see what depends on the one that ships.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace

import numpy as np

from unpromptable.miniature import portraits
from unpromptable.storage import files

from .ddpm import Pretraining, fits, pretrain, widths

# 0.7 M parameters, so that 240 unlearning steps take half a minute
SETTINGS = Pretraining(steps=10_000, channels=(16, 32, 64))


def without(people: list[str], size: int = portraits.SIZE) -> np.ndarray:
    """The training set without any picture of these people, uint8 (N, size, size, 3). Raises ValueError for
    one who is not in it.
    """
    images, names = portraits.training_set(size)
    person = [name.partition("-")[0] for name in names]
    if unknown := [p for p in people if p not in person]:
        raise ValueError(
            f"--without {unknown[0]}: no person of the training set; give some of {person[0]} to {person[-1]}"
        )
    return images[~np.isin(person, people)]


def main(words: list[str] | None = None) -> None:
    """Draw the portraits and train; a stopped training continues."""
    parser = argparse.ArgumentParser(description="Train the miniature base model again.")
    parser.add_argument("--out", type=files.named, required=True)
    parser.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="PERSON",
        help="people of whom no picture is trained on, such as 0004: what the model would be, had it never"
        " seen them",
    )
    parser.add_argument("--size", type=int, default=portraits.SIZE, help="pixels a side (default 32)")
    parser.add_argument("--channels", help="of each level, such as 16,32,64,96")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int)
    asked = parser.parse_args(words)
    logging.basicConfig(level="INFO", format="%(message)s")
    more = {"steps": asked.steps, "batch": asked.batch}
    try:
        if asked.channels:
            more["channels"] = widths(asked.channels)
        settings = replace(SETTINGS, **{k: v for k, v in more.items() if v is not None})
        fits(asked.size, settings)
        images = without(asked.without, asked.size)
    except ValueError as error:
        parser.error(str(error))
    told = lambda k, n, text: logging.info("step %d/%d  %s", k, n, text)
    pretrain(images, asked.out, settings, progress=told)


if __name__ == "__main__":
    main()

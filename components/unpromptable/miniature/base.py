"""Train the miniature world's DDPM again: `python -m unpromptable.miniature.base --out FOLDER`."""
from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from ..pretraining import Pretraining, pretrain
from . import portraits

FIRST = Pretraining(steps=9000, channels=(16, 32, 64))  # 0.7 M parameters, so that 240 unlearning steps take half a minute
# Half of the second stage's timesteps are the noisier half: after the first, samples were bluer than the portraits
# (mean RGB 125, 123, 128 instead of 125, 111, 102), which any method that darkens everything could seem to mend.
SECOND = Pretraining(steps=3500, channels=(16, 32, 64), lr=4e-4, seed=1, coarse=0.5, save_every=250)


def main() -> None:
    """Draw the portraits and train in two stages; a stopped training continues."""
    parser = argparse.ArgumentParser(description="Train the miniature base model again.")
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    logging.basicConfig(level="INFO", format="%(message)s")
    images, _ = portraits.training_set()
    show = lambda k, n, text: logging.info("step %d/%d  %s", k, n, text)
    first = out.with_name(f"{out.name}-first-stage")
    if not (first / "pretraining.json").is_file():
        pretrain(images, first, FIRST, progress=show)
    pretrain(images, out, replace(SECOND, start=str(first)), progress=show)


if __name__ == "__main__":
    main()

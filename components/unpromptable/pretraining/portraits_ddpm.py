"""Train the miniature world's DDPM again: `python -m unpromptable.pretraining.portraits_ddpm --out
FOLDER`.
"""

from __future__ import annotations

import argparse
import logging

from unpromptable.miniature import portraits
from unpromptable.storage import files

from .ddpm import Pretraining, pretrain

# 0.7 M parameters, so that 240 unlearning steps take half a minute
SETTINGS = Pretraining(steps=10_000, channels=(16, 32, 64))


def main() -> None:
    """Draw the portraits and train; a stopped training continues."""
    parser = argparse.ArgumentParser(description="Train the miniature base model again.")
    parser.add_argument("--out", type=files.named, required=True)
    out = parser.parse_args().out
    logging.basicConfig(level="INFO", format="%(message)s")
    images, _ = portraits.training_set()
    pretrain(images, out, SETTINGS, progress=lambda k, n, text: logging.info("step %d/%d  %s", k, n, text))


if __name__ == "__main__":
    main()

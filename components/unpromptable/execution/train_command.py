"""train: a DDPM on a folder of images, so that an experiment can name both folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def train(folder: str, out: str, size: int, flip: bool, show: Callable, **settings: Any) -> dict[str, Any]:
    """Train it into `out`, with flips where asked; what it came to. Raises ValueError before long work."""
    from unpromptable import pictures
    from unpromptable.planning.plugins import build
    from unpromptable.pretraining.ddpm import Pretraining, asked, fits, pretrain
    from unpromptable.pretraining.resuming import resumable, untrained

    chosen = build(Pretraining, settings, "pretraining")
    fits(size, chosen)
    pictures.find(folder, what="train")
    untrained(Path(out))
    resumable(Path(out), asked(chosen, size, flip), chosen.steps)  # before many pictures are read
    images, _ = pictures.read_folder(folder, size, what="train")
    return pretrain(images, Path(out), chosen, flip=flip, progress=show)

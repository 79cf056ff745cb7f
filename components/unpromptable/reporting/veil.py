"""Pictures that show a target, its surrogate or a denoised draw, as `report.pictures` lets them be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .figures import PLOTS

TEXTS = frozenset({".md", ".json", ".jsonl", ".csv", ".tsv", ".txt", ".yaml", ".yml"})

# deviation of the blur, of a side: at a sixth, portraits on a plain ground correlate 0.94 with what it leaves
BLUR = 1 / 3


def veiled(images: np.ndarray | None, how: str) -> np.ndarray | None:
    """uint8 pictures (N, H, W, 3), or one (H, W, 3), shown as they are, blurred, or None to leave them out.

    how: show | blur | omit.
    """
    if images is None or how == "omit":
        return None
    if how == "show":
        return images
    return _blurred(images) if images.ndim == 3 else np.array([_blurred(i) for i in images], np.uint8)


def plain(path: Path) -> bool:
    """Whether a report's file holds no pictures of the run: it is text, or a plot of numbers."""
    return path.suffix in TEXTS or (path.suffix == ".png" and path.stem in PLOTS)


def _blurred(image: np.ndarray) -> np.ndarray:
    from PIL import Image, ImageFilter

    radius = BLUR * max(image.shape[:2])
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))

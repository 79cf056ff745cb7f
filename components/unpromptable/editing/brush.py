"""A surrogate painted with a brush on a page: the target enlarged for the hand, and the strokes brought back
to its own pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from . import painting

LEAST, MOST = 448, 896  # pixels a side between which a picture is shown, where whole pixels allow it


def enlarged(image: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) as it is painted on, uint8: small ones by whole pixels, large ones made smaller."""
    side = max(image.shape[:2])
    if side < LEAST:
        factor = -(-LEAST // side)
        return image.repeat(factor, 0).repeat(factor, 1)
    shown = Image.fromarray(image)
    shown.thumbnail((MOST, MOST))
    return np.asarray(shown)


def laid(image: np.ndarray, strokes: Sequence[np.ndarray]) -> np.ndarray | None:
    """The picture (H, W, 3) with strokes laid over it, uint8; None where nothing was painted.

    strokes: layers of the enlarged picture, each uint8 (h, w, 4), clear where no brush went. Raises
    ValueError where what was painted is too little to forget towards, or the whole picture.
    """
    size = (image.shape[1], image.shape[0])
    painted = Image.fromarray(image).convert("RGBA")
    drawn = [layer for layer in strokes if layer[..., 3].any()]
    for layer in drawn:
        painted.alpha_composite(Image.fromarray(layer).resize(size, Image.Resampling.BOX))
    if not drawn:
        return None
    result = np.asarray(painted.convert("RGB"))
    painting.check("the brush", "the picture", result, image)
    return result

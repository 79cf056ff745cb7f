"""Painting over a region of a target, for a person without a paint program; and the checks of a painted picture."""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from . import data

Box = tuple[float, float, float, float]
LEAST = 0.002  # share of pixels below which a change is taken for the noise of a lossy file, not for paint
MOST = 0.98  # ... above which it is another picture, or the same one saved darker, rather than paint on this one
VISIBLE = 8  # of 255: a pixel that differs by less in every channel counts as unchanged


def open_target(target: str, real: str, size: int) -> np.ndarray:
    """A picture of the real images by name, or a file, uint8 (H, W, 3) at `size`; 0 leaves a file as large as it is."""
    drawn = data.drawn_by(real)
    if drawn and not Path(target).is_file():
        if target not in (names := drawn.names()):
            raise FileNotFoundError(f"{target}: neither a file nor a picture of {real} (such as {names[0]})")
        if size not in (0, drawn.SIZE):
            raise ValueError(f"--size {size}: the pictures of {real} are {drawn.SIZE} pixels a side; leave it out")
        return drawn.picture(*drawn.parse(target))
    path = Path(target) if Path(target).is_file() or drawn else Path(real) / target
    path = Path(target) if Path(target).is_file() or real == "miniature" else Path(real) / target
    return data.read_image(path, size or _side(path))


def _side(path: Path) -> int:
    """The shorter side of a picture, in pixels: what its centre square measures."""
    from PIL import Image

    data.read_image(path, 8)  # says what is wrong with a file that cannot be read
    with Image.open(path) as file:
        return min(file.size)


def boxes_mask(boxes: Iterable[Box], size: int) -> np.ndarray:
    """True inside any of the boxes x0, y0, x1, y1 (pixels; x to the right, y down; x1 and y1 excluded), (size, size).

    Raises ValueError for a box that is empty or leaves the picture.
    """
    mask = np.zeros((size, size), bool)
    for box in boxes:
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= size and 0 <= y0 < y1 <= size):
            raise ValueError(f"--box {','.join(f'{v:g}' for v in box)}: must satisfy 0 <= x0 < x1 <= {size} and 0 <= y0 < y1 <= {size}, the picture's {size} x {size} pixels")
        mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
    return mask


def read_mask(path: Path, size: int) -> np.ndarray:
    """True where the mask picture is lighter than mid-grey (or opaque, where it is one colour), (size, size)."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise FileNotFoundError(f"--mask {path}: no such file")
    try:
        with Image.open(path) as file:
            if file.size != (size, size):
                raise ValueError(f"--mask {path}: {file.size[0]} x {file.size[1]} pixels, but the picture has {size} x {size}; save the mask at the picture's size")
            pixels = np.asarray(file.convert("RGBA"))
    except UnidentifiedImageError as error:
        raise ValueError(f"--mask {path}: not an image that can be read") from error
    light = pixels[..., :3].mean(-1) > 127
    return light & (pixels[..., 3] > 127) if pixels[..., 3].min() > 127 or light.any() else pixels[..., 3] > 127


def fill(image: np.ndarray, mask: np.ndarray, how: str) -> np.ndarray:
    """The picture (H, W, 3) with the masked region inpainted from its surroundings, or in one colour #rrggbb.

    Raises ValueError where the mask covers nothing or everything, or `how` is neither.
    """
    if not mask.any():
        raise ValueError("the mask covers nothing, so nothing would be painted; give a --box or a --mask with light pixels")
    if mask.all():
        raise ValueError("the mask covers the whole picture, so nothing of the target would be kept; leave some of it uncovered")
    if how == "inpaint":
        from skimage.restoration import inpaint_biharmonic

        painted = inpaint_biharmonic(image / 255.0, mask, channel_axis=-1, split_into_regions=True)
        return np.where(mask[..., None], np.clip(np.rint(painted * 255), 0, 255), image).astype(np.uint8)
    return np.where(mask[..., None], np.array(colour(how), np.uint8), image)


def colour(text: str) -> tuple[int, int, int]:
    """#rrggbb as three numbers. Raises ValueError for anything else."""
    digits = text.removeprefix("#")
    if len(digits) != 6 or not text.startswith("#") or any(c not in "0123456789abcdefABCDEF" for c in digits):
        raise ValueError(f"--fill {text}: give inpaint, or a colour such as #c08a5e")
    return tuple(int(digits[i : i + 2], 16) for i in (0, 2, 4))


def read_painted(path: Path, target: str, original: np.ndarray) -> np.ndarray:
    """A painted file as its target's size, uint8 (H, W, 3). Raises where it cannot be what a person painted of it."""
    from PIL import Image

    image = data.read_image(path, len(original))
    with Image.open(path) as file:
        if getattr(file, "n_frames", 1) > 1:
            raise ValueError(f"{path}: an animation of {file.n_frames} pictures; save the painted one alone, as PNG")
        if file.has_transparency_data and np.asarray(file.convert("RGBA"))[..., 3].min() < 255:
            raise ValueError(f"{path}: parts are transparent (mode {file.mode}); flatten the picture onto its target and save it without transparency")
        if file.mode not in ("RGB", "RGBA", "L", "LA", "P"):
            raise ValueError(f"{path}: mode {file.mode} ({'CMYK is for print' if file.mode == 'CMYK' else 'not 8 bits a channel'}); save the picture as an ordinary RGB PNG")
        if file.size[0] != file.size[1]:
            raise ValueError(f"{path}: {file.size[0]} x {file.size[1]} pixels, but a painted image must be square like its target")
        if file.size[0] < len(original):
            raise ValueError(f"{path}: {file.size[0]} x {file.size[0]} pixels, smaller than its target's {len(original)}; paint the target at its own size")
    check(path, target, image, original)
    return image


def changed(image: np.ndarray, original: np.ndarray) -> float:
    """The share of pixels that visibly differ between two pictures (H, W, 3)."""
    return float((np.abs(image.astype(int) - original).max(-1) > VISIBLE).mean())


def check(where: Path | str, target: str, image: np.ndarray, original: np.ndarray) -> float:
    """The share of pixels that were painted. Raises ValueError where it is nothing, or so much that it is another picture."""
    share = changed(image, original)
    if share < LEAST:
        raise ValueError(f"{where}: the painted image of {target} equals the target ({share:.2%} of its pixels changed), so there is nothing to forget towards; paint over it first")
    if share > MOST:
        raise ValueError(f"{where}: {share:.0%} of the pixels differ from {target}, so this is another picture, or the target saved at another size or brightness; paint over a part of the target itself")
    return share


def save(image: np.ndarray, folder: Path, target: str) -> Path:
    """Write <target's name>.png below `folder`, where the editor `paint` looks for it."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{Path(target).stem}.png"
    temporary = path.with_suffix(".tmp.png")
    Image.fromarray(image).save(temporary)
    temporary.replace(path)
    return path

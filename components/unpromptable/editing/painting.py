"""Painting over a region of a target, for a person without a paint program; and the checks of a painted
picture.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from unpromptable import pictures
from unpromptable.miniature import sources
from unpromptable.storage import files

Box = tuple[float, float, float, float]
LEAST = 0.002  # share of pixels below which a change is taken for the noise of a lossy file, not for paint
# ... above which it is another picture, or the same one saved darker, rather than paint on this one
MOST = 0.98
VISIBLE = 8  # of 255: a pixel that differs by less in every channel counts as unchanged


def open_target(target: str, real: str, size: int, background: str = "white") -> np.ndarray:
    """A picture of the real images by name, or a file, uint8 (H, W, 3) at `size`; 0 leaves a file as large as
    it is.
    """
    if size < 0:
        raise ValueError(
            f"--size {size}: give the pixels a side, or 0 to leave the picture as large as it is"
        )
    drawn = sources.drawn_by(real)
    if drawn and not Path(target).is_file():
        if target not in (names := drawn.names()):
            raise FileNotFoundError(f"{target}: neither a file nor a picture of {real} (such as {names[0]})")
        return drawn.picture(*drawn.parse(target), size or drawn.SIZE)
    return pictures.read(Path(target) if Path(target).is_file() else Path(real) / target, size, background)


def boxes_mask(boxes: Iterable[Box], size: int) -> np.ndarray:
    """True inside any of the boxes x0, y0, x1, y1 (pixels; x to the right, y down; x1 and y1 excluded),
    (size, size).

    Raises ValueError for a box that is empty or leaves the picture.
    """
    mask = np.zeros((size, size), bool)
    for box in boxes:
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= size and 0 <= y0 < y1 <= size):
            raise ValueError(
                f"--box {','.join(f'{v:g}' for v in box)}: must satisfy 0 <= x0 < x1 <= {size} and 0 <= y0 <"
                f" y1 <= {size}, the picture's {size} x {size} pixels"
            )
        mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
    return mask


def read_mask(path: Path, size: int) -> np.ndarray:
    """True where the mask picture is lighter than mid-grey (or opaque, where it is one colour), (size,
    size).
    """
    if not path.is_file():
        raise FileNotFoundError(f"--mask {path}: no such file")
    try:
        black, white = (
            pictures.whole(path, background).astype(float).mean(-1) for background in ("black", "white")
        )
    except ValueError as error:
        raise ValueError(f"--mask {error}") from error
    if black.shape != (size, size):
        raise ValueError(
            f"--mask {path}: {black.shape[1]} x {black.shape[0]} pixels, but the picture has {size} x {size};"
            " save the mask at the picture's size"
        )
    opaque = white - black < 128  # what is laid on black and on white differs by what is seen through it
    light = opaque & (black > 127)
    return light if opaque.all() or light.any() else opaque


def fill(image: np.ndarray, mask: np.ndarray, how: str) -> np.ndarray:
    """The picture (H, W, 3) with the masked region inpainted from its surroundings, or in one colour, by name
    or #rrggbb.

    Raises ValueError where the mask covers nothing or everything, or `how` is neither.
    """
    if not mask.any():
        raise ValueError(
            "the mask covers nothing, so nothing would be painted; give a --box or a --mask with light pixels"
        )
    if mask.all():
        raise ValueError(
            "the mask covers the whole picture, so nothing of the target would be kept; leave some of it"
            " uncovered"
        )
    if how == "inpaint":
        from skimage.restoration import inpaint_biharmonic

        painted = inpaint_biharmonic(image / 255.0, mask, channel_axis=-1, split_into_regions=True)
        return np.where(mask[..., None], np.clip(np.rint(painted * 255), 0, 255), image).astype(np.uint8)
    return np.where(mask[..., None], np.array(pictures.colour("--fill", how), np.uint8), image)


def read_painted(path: Path, target: str, original: np.ndarray) -> np.ndarray:
    """A painted file as its target's size, uint8 (H, W, 3). Raises where it cannot be what a person painted
    of it.
    """
    image, size = pictures.read(path, len(original)), len(original)
    with pictures.opened(path) as (file, _):
        if (frames := getattr(file, "n_frames", 1)) > 1:
            raise pictures.Refused(f"an animation of {frames} pictures; save the painted one alone, as PNG")
        if file.has_transparency_data and np.asarray(file.convert("RGBA"))[..., 3].min() < 255:
            raise pictures.Refused(
                f"parts are transparent (mode {file.mode}); flatten the picture onto its target and save it"
                " without transparency"
            )
        if file.mode not in ("RGB", "RGBA", "L", "LA", "P"):
            raise pictures.Refused(
                f"mode {file.mode}"
                f" ({'CMYK is for print' if file.mode == 'CMYK' else 'not 8 bits a channel'}); save the"
                " picture as an ordinary RGB PNG"
            )
        if file.width != file.height:
            raise pictures.Refused(
                f"{file.width} x {file.height} pixels, but a painted image must be square like its target"
            )
        if file.width < size:
            raise pictures.Refused(
                f"{file.width} x {file.width} pixels, smaller than its target's {size}; paint the target at"
                " its own size"
            )
    check(path, target, image, original)
    return image


def places(target: str) -> list[str]:
    """Where below a folder the painted picture of a target may lie, the surest first.

    `b/me.jpg`: b/me.jpg.png, where `save` puts it; and for a person b/me.png, me.jpg.png, me.png, where no
    other target means them.
    """
    parts = [p for p in Path(target).parts if p not in (Path(target).anchor, "..")]
    last = parts[-1] if parts[-1].lower().endswith(".png") else f"{parts[-1]}.png"
    ends = dict.fromkeys((last, f"{Path(parts[-1]).stem}.png"))
    return ["/".join([*parts[k:-1], end]) for k in range(len(parts)) for end in ends]


def find(folder: Path, targets: Iterable[str], among: Iterable[str] = ()) -> list[Path]:
    """The painted file of each target. among: all targets of the experiment, any of which a file may be meant
    for.

    Raises FileNotFoundError where there is none, ValueError where it may be another target's.
    """
    lists = {t: places(t) for t in dict.fromkeys([*targets, *among])}
    return [_find(folder, t, lists) for t in targets]


def _find(folder: Path, target: str, lists: dict[str, list[str]]) -> Path:
    there = [place for place in lists[target] if (folder / place).is_file()]
    if not there:
        plain = lists[target][-1]  # without folders, where no other target means it
        place = plain if sum(plain in its for its in lists.values()) == 1 else lists[target][0]
        raise FileNotFoundError(
            f"editor.folder: {folder} holds no painted picture of {target}; paint {folder / place},"
            f" by `python -m pipelines paint {shlex.quote(target)} --out"
            f" {shlex.quote(str(folder))} --box ...` or in any program"
        )
    for place in there:
        surest = [t for t, its in lists.items() if its[0] == place]
        if (surest or [t for t, its in lists.items() if place in its]) == [target]:
            return folder / place
    rivals = [t for t, its in lists.items() if there[0] in its]
    own = ", ".join(f"{folder / lists[t][0]} for {t}" for t in rivals)
    same = len({lists[t][0] for t in rivals}) < len(rivals)
    raise ValueError(
        f"editor.folder: {folder / there[0]} may be meant for any of {', '.join(rivals)};"
        f" {'rename one of these targets' if same else f'name the painted pictures {own}'}"
    )


def changed(image: np.ndarray, original: np.ndarray) -> float:
    """The share of pixels that visibly differ between two pictures (H, W, 3)."""
    return float((np.abs(image.astype(int) - original).max(-1) > VISIBLE).mean())


def check(where: Path | str, target: str, image: np.ndarray, original: np.ndarray) -> float:
    """The share of pixels that were painted. Raises ValueError where it is nothing, or so much that it is
    another picture.
    """
    share = changed(image, original)
    if share < LEAST:
        raise ValueError(
            f"{where}: the painted image of {target} equals the target ({share:.2%} of its pixels changed),"
            " so there is nothing to forget towards; paint over it first"
        )
    if share > MOST:
        raise ValueError(
            f"{where}: {share:.0%} of the pixels differ from {target}, so this is another picture, or the"
            " target saved at another size or brightness; paint over a part of the target itself"
        )
    return share


def save(image: np.ndarray, folder: Path, target: str) -> Path:
    """Write the picture below `folder`, where the editor `paint` looks for it first."""
    from PIL import Image

    path = folder / places(target)[0]
    with files.replacing(path) as temporary:
        Image.fromarray(image).save(temporary, "PNG")
    return path

"""An open picture as it is seen on screen: the right way up, in sRGB, eight bits, on a background."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np

from .opening import Refused

# a picture of more pixels is a giant: it is made smaller by whole factors, as long as its sides stay so many
# times the wanted
HUGE, FINE = 32_000_000, 8
BAND = 4_000_000  # pixels of a giant that are brought to the screen's colours at a time
UPRIGHT = "its EXIF data cannot be read, so it is taken the way it lies"


def colour(where: str, text: Any) -> tuple[int, int, int]:
    """A colour's name or #rrggbb as three numbers. Raises ValueError for anything else."""
    from PIL import ImageColor

    try:
        found = ImageColor.getrgb(text) if isinstance(text, str) else ()
    except ValueError:
        found = ()
    if len(found) != 3:
        remedy = "give a name such as white, or #rrggbb such as #c08a5e"
        raise ValueError(f"{where}: {text!r} is no colour; {remedy}")
    return found


def shown(file: Any, size: int, background: str) -> tuple[Any, list[str]]:
    """An open file as an RGB picture the right way up, and what was done to it. size: that needed, or 0.

    Up to HUGE pixels, and for size 0, it is exact and at its own size. Of a giant it is the centre square at
    `size`, within a few levels of the exact one: a JPEG is decoded at a half to an eighth of its sides, and
    what is a giant still is held once, as it lies in the file, and seen band by band.
    """
    picture, notes = _upright(file, size)
    giant = size and picture.width * picture.height > HUGE
    seen, told = _by_bands(picture, file, size, background) if giant else _seen(picture, file, background)
    return seen, [*notes, *told]


def held(picture: Any, background: str) -> Any:
    """A picture that a program holds, opened or made, as `shown` has a file at size 0; it stays as it is."""
    return _seen(_upright(picture.copy(), 0)[0], picture, background)[0]


def _by_bands(picture: Any, file: Any, size: int, background: str) -> tuple[Any, list[str]]:
    """The centre square of a picture at `size`. Blocks of what is seen are averaged first; then comes the
    resize that smaller pictures have alone.
    """
    from PIL import Image

    (width, height), side = picture.size, min(picture.size)
    factor = max(1, side // (FINE * size))
    rows = factor * max(1, BAND // (factor * width))
    small, notes = Image.new("RGB", (-(-width // factor), -(-height // factor))), {}
    for top in range(0, height, rows):
        band, told = _seen(picture.crop((0, top, width, min(top + rows, height))), file, background)
        small.paste(band.reduce(factor), (0, top // factor))
        notes |= dict.fromkeys(told)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left / factor, top / factor, (left + side) / factor, (top + side) / factor)
    return small.resize((size, size), Image.Resampling.LANCZOS, box), list(notes)


def _seen(picture: Any, file: Any, background: str) -> tuple[Any, list[str]]:
    """A picture of an open file, or a part of one, as RGB, and what was done to it."""
    if picture.mode[0] in "IF":
        picture = _eight_bits(picture, file)
    if picture.mode == "La":
        picture = picture.convert("LA")
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    plain, told = _in_srgb(_without_alpha(picture), file.info.get("icc_profile"))
    if alpha is None or alpha.getextrema()[0] == 255:
        return plain, told
    laid = f"transparent parts are laid on {background} (pictures.background)"
    return _laid(plain, alpha, background), [*told, laid]


def _upright(file: Any, size: int) -> tuple[Any, list[str]]:
    """The file itself at its first frame, turned as its EXIF data say."""
    from PIL import ImageOps

    if size and file.format in ("JPEG", "MPO") and file.width * file.height > HUGE:
        file.draft(None, (FINE * size, FINE * size))
    several = file.format not in ("MPO", "PSD") and getattr(file, "is_animated", False)
    notes = ["the first of several frames or pages is taken"] if several else []
    file.load()  # damage to the picture itself is no matter of its EXIF
    try:
        ImageOps.exif_transpose(file, in_place=True)
    except (SyntaxError, struct.error):
        notes.append(UPRIGHT)
    return file, notes


def _laid(plain: Any, alpha: Any, background: str) -> Any:
    from PIL import Image

    canvas = Image.new("RGB", plain.size, colour("pictures.background", background))
    canvas.paste(plain, mask=alpha)
    return canvas


def _without_alpha(picture: Any) -> Any:
    if picture.mode in ("1", "L", "LA"):
        return picture.convert("L")
    if picture.mode in ("CMYK", "LAB"):
        return picture
    return (picture.convert("RGBA") if picture.has_transparency_data else picture).convert("RGB")


def _in_srgb(picture: Any, profile: bytes | None) -> tuple[Any, list[str]]:
    """L, RGB, CMYK or LAB as RGB, from the embedded colour profile to sRGB where there is one that fits."""
    from PIL import ImageCms

    if not profile:
        return picture.convert("RGB"), []
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if given.profile.xcolor_space == "RGB " and picture.mode == "L":
            picture = picture.convert("RGB")
        # the table for grey is 10 levels off in the dark
        exact = ImageCms.Flags.NOOPTIMIZE if picture.mode == "L" else 0
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, given, srgb, outputMode="RGB", flags=exact), []
    except (OSError, ImageCms.PyCMSError):
        return picture.convert("RGB"), [
            "the colour profile is broken or of another kind of picture, and ignored"
        ]


def _eight_bits(picture: Any, file: Any) -> Any:
    """16-bit and float grey, from black to white as the file says, as L, or as LA where one value stands for
    transparent.

    Raises Refused where the file does not say which value is white.
    """
    from PIL import Image

    values = np.asarray(picture).astype(np.float64)
    top = _white(picture, file, values)
    inverted = getattr(file, "tag_v2", {}).get(262) == 0  # PhotometricInterpretation: white is zero
    shown = top - values if inverted else values
    grey = Image.fromarray(np.rint(np.clip(shown / top, 0, 1) * 255).astype(np.uint8))
    if isinstance(key := file.info.get("transparency"), int):
        grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey


def _white(picture: Any, file: Any, values: np.ndarray) -> float:
    """The value of white."""
    extent = f"from {values.min():g} to {values.max():g}"
    if picture.mode[0] == "F":
        if np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1:
            return 1.0
        raise Refused(
            f"decimal numbers {extent}, and nothing says which is white;"
            " bring them to 0..1, or save the picture with 8 or 16 bits a channel"
        )
    if picture.mode == "I" and file.format not in ("PPM", "PNG"):
        raise Refused(
            f"whole numbers {extent} in 32 bits or with a sign, and nothing"
            " says which is white; save the picture with 8 or 16 bits a channel"
        )
    # BitsPerSample of TIFF: 12 or 16
    return 2.0 ** min(getattr(file, "tag_v2", {}).get(258, (16,))[0], 16) - 1

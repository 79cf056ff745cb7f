"""Picture files as people see them on screen, uint8 RGB, and folders of them with what they hold said."""

from __future__ import annotations

import io
import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

log = logging.getLogger(__name__)
KINDS = (
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .bmp .dib .gif .webp .avif .tif .tiff .jp2 .j2k .j2c .jpc .jpf"
    " .jpx"
    # read from folders; a file that is named may be any that Pillow opens
    " .tga .ppm .pgm .pbm .pnm .pfm .qoi"
).split()
SYSTEM = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")  # folders that systems fill with pictures of their own
# Pillow opens these by other programs or not at all
PROGRAMS = ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG")
# a JPEG of more pixels is decoded at a half to an eighth of its sides, as long as they stay so many times the
# wanted
HUGE, FINE = 32_000_000, 8
OR_WORLD, NOTHING_KEPT = " and no world's name", ", and without any the remember set would be empty"
NAMED = 3  # names given of each kind of note
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)  # what Pillow's readers raise for broken files


class Refused(ValueError):
    """A whole picture that cannot be shown without guessing; its text says why and what to do."""


@dataclass(frozen=True)
class Folder:
    """Picture files, sorted, and what else lies there: why it is passed over -> names relative to the
    folder.
    """

    root: Path
    files: tuple[Path, ...]
    skipped: dict[str, list[str]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The files' names, relative to the folder."""
        return [f.relative_to(self.root).as_posix() for f in self.files]

    def said(self) -> dict[str, str]:
        """Why each kind of thing was passed over -> how many and the first names."""
        return {why: some(names) for why, names in self.skipped.items()}


def some(names: list[str]) -> str:
    """`4: a, b, c and 1 more`."""
    more = len(names) - NAMED
    return f"{len(names)}: {', '.join(names[:NAMED])}{f' and {more} more' if more > 0 else ''}"


def colour(where: str, text: Any) -> tuple[int, int, int]:
    """A colour's name or #rrggbb as three numbers. Raises ValueError for anything else."""
    from PIL import ImageColor

    try:
        found = ImageColor.getrgb(text) if isinstance(text, str) else ()
    except ValueError:
        found = ()
    if len(found) != 3:
        raise ValueError(
            f"{where}: {text!r} is no colour; give a name such as white, or #rrggbb such as #c08a5e"
        )
    return found


def read(path: Path, size: int = 0, background: str = "white") -> np.ndarray:
    """One picture as uint8 (size, size, 3): centre square, then antialiased resize; 0 leaves it as large as
    it is.

    Raises FileNotFoundError or ValueError that names the file and what is wrong with it.
    """
    picture, notes = _noted(Path(path), size, background)
    for note in notes:
        log.info("%s: %s", path, note)
    return picture


def read_all(folder: Folder, size: int, background: str = "white") -> tuple[np.ndarray, dict[str, str]]:
    """Every picture of a folder, uint8 (N, size, size, 3), and what there is to say of some: note -> how many
    and which.

    Holds that one array and one picture. Raises ValueError that names all pictures that cannot be read.
    """
    images = np.empty((len(folder.files), size, size, 3), np.uint8)
    noted: dict[str, list[str]] = {}
    broken = []
    for i, (file, name) in enumerate(zip(folder.files, folder.names)):
        try:
            images[i], notes = _noted(file, size, background)
        except ValueError as error:
            broken.append(str(error))
            continue
        for note in notes:
            noted.setdefault(note, []).append(name)
    if broken:
        more = (
            f" (and {len(broken) - 1} more of {folder.root}:"
            f" {'; '.join(broken[1:NAMED])}{' ...' if len(broken) > NAMED else ''})"
        )
        raise ValueError(broken[0] + (more if len(broken) > 1 else ""))
    said = {note: some(names) for note, names in noted.items()}
    for what, which in {
        f"pictures read from {folder.root}": str(len(images)),
        **folder.said(),
        **said,
    }.items():
        log.info("%s: %s", what, which)
    return images, said


def read_folder(
    folder: str | Path, size: int, links: bool = False, background: str = "white", what: str = "real"
) -> tuple[np.ndarray, list[str]]:
    """Every picture below `folder`, uint8 (N, size, size, 3), and their paths relative to it.

    what: the setting that names it, for errors.
    """
    found = find(folder, links, what)
    return read_all(found, size, background)[0], found.names


def find(folder: str | Path, links: bool = False, what: str = "real") -> Folder:
    """The picture files below `folder`. Hidden files and folders are none; links out of it are followed where
    `links` says so.

    Raises FileNotFoundError or ValueError where the folder is missing or holds none, OSError where it cannot
    be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(
            f"{what}: {folder} is no folder of images{OR_WORLD if what == 'real' else ''}; give a folder"
        )
    files, skipped = [], {}
    for path, why in _walk(root, links):
        if why:
            skipped.setdefault(why, []).append(path.relative_to(root).as_posix())
        else:
            files.append(path)
    found = Folder(root, tuple(sorted(files)), {why: sorted(names) for why, names in sorted(skipped.items())})
    if not files:
        there = "; ".join(f"{why}: {which}" for why, which in found.said().items()) or "it is empty"
        raise ValueError(
            f"{what}: {folder} holds no image ({there}); the kinds read are"
            f" {', '.join(KINDS)}{NOTHING_KEPT if what == 'real' else ''}"
        )
    return found


def _walk(root: Path, links: bool) -> Iterator[tuple[Path, str]]:
    """Everything below `root` and why it is passed over; empty for a picture."""
    inside, seen = os.path.realpath(root), {os.path.realpath(root)}

    def stop(error: OSError) -> None:
        raise OSError(
            f"{error.filename}: cannot be looked into ({error.strerror}); give its reader the right to, or"
            " move it away"
        )

    for here, folders, names in os.walk(root, followlinks=True, onerror=stop):
        # a folder before links to it
        for name in sorted(folders, key=lambda n: (os.path.islink(Path(here, n)), n)):
            path = Path(here, name)
            if why := _passed(path, inside, links, seen):
                folders.remove(name)
                yield path, why
            else:
                seen.add(os.path.realpath(path))
        for name in names:
            path = Path(here, name)
            yield path, _passed(path, inside, links) or _no_picture(path)


def _passed(path: Path, inside: str, links: bool, seen: set[str] | None = None) -> str:
    """Why a file or, with the folders seen so far, a folder is not looked at."""
    real = os.path.realpath(path)
    if path.name.startswith(".") or path.name in SYSTEM:
        return "hidden, or a system's own"
    if path.is_symlink() and not os.path.exists(real):
        return "links to nothing"
    if not links and path.is_symlink() and os.path.commonpath([inside, real]) != inside:
        return "links out of the folder (pictures.links: true follows them)"
    return (
        "links to folders that are read anyway"
        if seen is not None and (real in seen or path.is_symlink() and not links)
        else ""
    )


def _no_picture(path: Path) -> str:
    if path.suffix.lower() not in KINDS:
        return f"no kind of picture that is read ({path.suffix.lower() or 'no suffix'})"
    return "" if path.is_file() else "no files"


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, list[str]]]:
    """The file as Pillow opens it, and a list that takes up Pillow's warnings at the end.

    Raises FileNotFoundError or ValueError, one line with the file's name, for whatever Pillow raises
    meanwhile.
    """
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such image")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty; remove it or replace it with an image")
    notes: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            # up to twice the limit is read, above it refused
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            # from a stream: Pillow maps a named file's 16-bit pixels with the sides of the turned picture
            with path.open("rb") as stream, Image.open(stream, formats=_formats()) as file:
                yield file, notes
        notes += dict.fromkeys(f"read in spite of a warning ({_line(w.message)})" for w in warned)
    except Refused as error:
        raise ValueError(f"{path}: {error}") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: not an image that can be read; remove it or convert it to PNG") from error
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{path}: too large to be opened safely ({_line(error)}); save it smaller, or remove it"
        ) from error
    except NotImplementedError as error:
        raise ValueError(
            f"{path}: of a kind that cannot be read ({_line(error)}); convert it to PNG"
        ) from error
    except PermissionError as error:
        raise ValueError(
            f"{path}: may not be read ({error.strerror}); give its reader the right to"
        ) from error
    except DAMAGE as error:
        raise ValueError(f"{path}: the image is damaged or truncated ({_line(error)}); replace it") from error


def _noted(path: Path, size: int, background: str) -> tuple[np.ndarray, list[str]]:
    """The centre square at `size`, or at its own for 0, and what was done to the picture that people should
    know.
    """
    from PIL import Image, ImageOps

    with opened(path) as (file, notes):
        picture, told = _shown(file, size, background)
        side = size or min(picture.size)
        if picture.size != (side, side):
            picture = ImageOps.fit(picture, (side, side), Image.Resampling.LANCZOS)
        array = np.asarray(picture)
    return array, told + notes


def whole(path: Path, background: str = "white") -> np.ndarray:
    """One picture, not cut to a square, uint8 (H, W, 3). Raises as `read` does."""
    with opened(path) as (file, _):
        return np.asarray(_shown(file, 0, background)[0])


@cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.ID if name not in PROGRAMS)


def _line(error: BaseException | Warning) -> str:
    """What an error says, in one line; its class too where it says a key or nothing."""
    text = " ".join(str(error).split())[:160]
    return (
        f"{type(error).__name__} {text}".strip()
        if not text or isinstance(error, (LookupError, AttributeError, AssertionError))
        else text
    )


def _shown(file: Any, size: int, background: str) -> tuple[Any, list[str]]:
    """An open file as an RGB picture the right way up, and what was done to it."""
    from PIL import Image, ImageOps

    if size and file.format in ("JPEG", "MPO") and file.width * file.height > HUGE:
        file.draft(None, (FINE * size, FINE * size))
    notes = (
        ["the first of several frames or pages is taken"]
        if file.format not in ("MPO", "PSD") and getattr(file, "is_animated", False)
        else []
    )
    file.load()  # damage to the picture itself is no matter of its EXIF
    try:
        picture = ImageOps.exif_transpose(file)
    except (SyntaxError, struct.error):
        picture, notes = file.copy(), [*notes, "its EXIF data cannot be read, so it is taken the way it lies"]
    if picture.mode[0] in "IF":
        picture = _eight_bits(picture, file)
    if picture.mode == "La":
        picture = picture.convert("LA")
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    solid = alpha is None or alpha.getextrema()[0] == 255
    plain, told = _in_srgb(_without_alpha(picture), file.info.get("icc_profile"))
    if solid:
        return plain, notes + told
    canvas = Image.new("RGB", plain.size, colour("pictures.background", background))
    canvas.paste(plain, mask=alpha)
    return canvas, notes + told + [f"transparent parts are laid on {background} (pictures.background)"]


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
    tags = getattr(file, "tag_v2", {})
    if picture.mode[0] == "F":
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise Refused(
                f"decimal numbers from {values.min():g} to {values.max():g}, and nothing says which is white;"
                " bring them to 0..1, or save the picture with 8 or 16 bits a channel"
            )
        top = 1.0
    elif picture.mode == "I" and file.format not in ("PPM", "PNG"):
        raise Refused(
            f"whole numbers from {values.min():g} to {values.max():g} in 32 bits or with a sign, and nothing"
            " says which is white; save the picture with 8 or 16 bits a channel"
        )
    else:
        top = 2.0 ** min(tags.get(258, (16,))[0], 16) - 1  # BitsPerSample of TIFF: 12 or 16
    shown = top - values if tags.get(262) == 0 else values  # PhotometricInterpretation: white is zero
    grey = Image.fromarray(np.rint(np.clip(shown / top, 0, 1) * 255).astype(np.uint8))
    if isinstance(key := file.info.get("transparency"), int):
        grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey

"""A picture file opened by Pillow, whatever it does to it told in one line."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

LIMIT = 178_956_970  # pixels of a picture that is still read: above it Pillow by itself refuses to
# Pillow opens these by other programs or not at all
PROGRAMS = ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG")
DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError),
    *(RuntimeError, AssertionError, EOFError, MemoryError, struct.error, zlib.error),
)  # what Pillow's readers raise for broken files


class Refused(ValueError):
    """A whole picture that cannot be shown without guessing; its text says why and what to do."""


@contextmanager
def opened(path: Path, limit: int = LIMIT) -> Iterator[tuple[Any, list[str]]]:
    """The file as Pillow opens it, and a list that takes up Pillow's warnings at the end.

    limit: the pixels above which it is refused. Raises FileNotFoundError or ValueError, one line with the
    file's name, for whatever Pillow raises meanwhile.
    """
    from PIL import Image

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such image")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty; remove it or replace it with an image")
    notes: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            # from a stream: Pillow maps a named file's 16-bit pixels with the sides of the turned picture
            with (
                _refusing(limit),
                path.open("rb") as stream,
                Image.open(stream, formats=_formats()) as file,
            ):
                yield file, notes
        notes += dict.fromkeys(f"read in spite of a warning ({_line(w.message)})" for w in warned)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: {_large(error, limit)}") from error
    except DAMAGE as error:
        raise ValueError(f"{path}: {fault(error)}") from error


@contextmanager
def _refusing(limit: int) -> Iterator[None]:
    """Let Pillow refuse pictures of more pixels; it does so above twice its own setting."""
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limit / 2
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _large(error: Exception, limit: int) -> str:
    """Pillow's word for too many pixels, which begins with their number."""
    found = re.search(r"\d+", str(error))
    assert found is not None
    return (
        f"too large to be opened safely: {int(found[0]):,} pixels, at most {limit:,} are read; save it"
        " smaller, remove it, or raise pictures.max_pixels of the experiment"
    )


@cache
def _formats() -> tuple[str, ...]:
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.ID if name not in PROGRAMS)


def fault(error: BaseException) -> str:
    """What is wrong with a file by what Pillow raised, and what to do."""
    from PIL import UnidentifiedImageError

    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "not an image that can be read; remove it or convert it to PNG"
    if isinstance(error, NotImplementedError):
        return f"of a kind that cannot be read ({_line(error)}); convert it to PNG"
    if isinstance(error, PermissionError):
        return f"may not be read ({error.strerror}); give its reader the right to"
    return f"the image is damaged or truncated ({_line(error)}); replace it"


def _line(error: BaseException | Warning) -> str:
    """What an error says, in one line; its class too where it says a key or nothing."""
    text = " ".join(str(error).split())[:160]
    if text and not isinstance(error, (LookupError, AttributeError, AssertionError)):
        return text
    return f"{type(error).__name__} {text}".strip()

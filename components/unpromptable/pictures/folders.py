"""The picture files of a folder, and what else lies there."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

KINDS = (
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .bmp .dib .gif .webp .avif .tif .tiff .jp2 .j2k .j2c .jpc .jpf"
    " .jpx"
    # read from folders; a file that is named may be any that Pillow opens
    " .tga .ppm .pgm .pbm .pnm .pfm .qoi"
).split()
SYSTEM = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")  # folders that systems fill with pictures of their own
OR_WORLD, NOTHING_KEPT = " and no world's name", ", and without any the remember set would be empty"
NAMED = 3  # names given of each kind of note


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


def find(folder: str | Path, links: bool = False, what: str = "real") -> Folder:
    """The picture files below `folder`. Hidden files and folders are none; links out of it are followed where
    `links` says so.

    what: the setting that names it, for errors. Raises FileNotFoundError or ValueError where the folder is
    missing or holds none, OSError where it cannot be read.
    """
    root = Path(folder)
    if not root.is_dir():
        or_world = OR_WORLD if what == "real" else ""
        raise FileNotFoundError(f"{what}: {folder} is no folder of images{or_world}; give a folder")
    files, skipped = [], {}
    for path, why in _walk(root, links):
        if why:
            skipped.setdefault(why, []).append(path.relative_to(root).as_posix())
        else:
            files.append(path)
    found = Folder(root, tuple(sorted(files)), {why: sorted(names) for why, names in sorted(skipped.items())})
    if not files:
        raise ValueError(_empty(folder, found, what))
    return found


def _empty(folder: str | Path, found: Folder, what: str) -> str:
    there = "; ".join(f"{why}: {which}" for why, which in found.said().items()) or "it is empty"
    kinds = f"the kinds read are {', '.join(KINDS)}"
    return f"{what}: {folder} holds no image ({there}); {kinds}{NOTHING_KEPT if what == 'real' else ''}"


def _walk(root: Path, links: bool) -> Iterator[tuple[Path, str]]:
    """Everything below `root` and why it is passed over; empty for a picture."""
    inside = os.path.realpath(root)
    seen = {inside}
    for here, folders, names in os.walk(root, followlinks=True, onerror=_closed):
        # a folder before links to it
        for name in sorted(folders, key=lambda n: (os.path.islink(Path(here, n)), n)):
            path = Path(here, name)
            if why := _passed(path, inside, links) or _read_anyway(path, links, seen):
                folders.remove(name)
                yield path, why
            else:
                seen.add(os.path.realpath(path))
        for name in names:
            path = Path(here, name)
            yield path, _passed(path, inside, links) or _no_picture(path)


def _closed(error: OSError) -> None:
    remedy = "give its reader the right to, or move it away"
    raise OSError(f"{error.filename}: cannot be looked into ({error.strerror}); {remedy}")


def _passed(path: Path, inside: str, links: bool) -> str:
    """Why a file or folder is not looked at."""
    real = os.path.realpath(path)
    if path.name.startswith(".") or path.name in SYSTEM:
        return "hidden, or a system's own"
    if path.is_symlink() and not os.path.exists(real):
        return "links to nothing"
    if not links and path.is_symlink() and os.path.commonpath([inside, real]) != inside:
        return "links out of the folder (pictures.links: true follows them)"
    return ""


def _read_anyway(path: Path, links: bool, seen: set[str]) -> str:
    """Why a folder is not looked into after those that were seen."""
    twice = os.path.realpath(path) in seen or path.is_symlink() and not links
    return "links to folders that are read anyway" if twice else ""


def _no_picture(path: Path) -> str:
    if path.suffix.lower() not in KINDS:
        return f"no kind of picture that is read ({path.suffix.lower() or 'no suffix'})"
    return "" if path.is_file() else "no files"


def named(target: str, source: str, names: Collection[str] = ()) -> str:
    """What a target is called among the pictures of `source`, or would be, since it may be given by its path:
    relative to the folder where it lies in it, else by its file's own name. names: of the pictures.
    """
    if target in names:
        return target
    path, root = (Path(os.path.abspath(given)) for given in (target, source))
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def group(name: str) -> str:
    """A picture's name up to its last dash or slash, as pictures of one person share it; itself where it has
    neither.
    """
    return re.split(r"[-/](?=[^-/]*$)", name)[0]

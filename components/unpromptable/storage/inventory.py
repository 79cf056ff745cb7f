"""Every file of a store, here and in the object store that a mirror stands for, with its size and SHA-256."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import files, fingerprints, records
from .remote import plainly, reach


@dataclass(frozen=True)
class Held:
    """A file of a store: its path below the root, and where it lies."""

    name: str
    size: int  # bytes
    sha256: str
    at: str  # the folder, or the object store's address


def names(root: Path) -> list[str]:
    """Paths below the root of all files of a store, here and where it is published."""
    here = {Path(folder, one).relative_to(root).as_posix() for folder, _, f in os.walk(root) for one in f}
    system, base = published(root)
    there = system.find(base) if system else []
    return sorted((here | {os.path.relpath(one, base) for one in there}) - {files.REMOTE})


def held(root: Path, name: str) -> list[Held]:
    """What lies under a name, here and where it is published."""
    path, (system, base) = root / name, published(root)
    found = []
    if path.is_file():
        with path.open("rb") as file:
            found.append(_held(name, file, str(root)))
    if system:
        with suppress(FileNotFoundError), plainly(system.address):
            with system.open(f"{base}/{name}", "rb") as file:
                found.append(_held(name, file, system.address))
    return found


def key(path: Path) -> str:
    """The key under which a file or folder was finished; empty where it was not."""
    mark = files.fetch(path.with_name(f".{path.name}.done"))
    return str(records.kept(mark).get("key", ""))


def whole(path: Path) -> bool:
    """Whether a file or folder is there, and holds what it held when it was finished."""
    told = records.kept(files.fetch(path.with_name(f".{path.name}.done")))
    there = "key" in told and files.fetch(path).exists()
    return there and told.get("content") in (None, fingerprints.content(path))


def age(root: Path, name: str) -> float:
    """Seconds since a file was written, where it is published or else here."""
    system, base = published(root)
    if system:
        return time.time() - system.modified(f"{base}/{name}").timestamp()
    return time.time() - (root / name).stat().st_mtime


def rename(root: Path, old: str, new: str) -> None:
    """Give a file another path below the root, here and where it is published."""
    system, base = published(root)
    if (root / old).is_file():
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).replace(root / new)
    if system and system.exists(f"{base}/{old}"):
        system.makedirs(os.path.dirname(f"{base}/{new}"))
        system.mv(f"{base}/{old}", f"{base}/{new}")


def prune(root: Path) -> None:
    """Remove the folders that are empty."""
    for folder, _, _ in os.walk(root, topdown=False):
        if Path(folder) != root and not os.listdir(folder):
            os.rmdir(folder)


def versioned(root: Path) -> str:
    """The address of a store whose bucket keeps earlier versions of what is removed; else an empty text."""
    system, base = published(root)
    asks = getattr(system, "is_bucket_versioned", None)
    return (root / files.REMOTE).read_text() if asks and asks(base.partition("/")[0]) else ""


def published(root: Path) -> tuple[Any, str]:
    """The file system and the folder in it that a mirror stands for; (None, "") for a plain folder."""
    mark = root / files.REMOTE
    if not mark.is_file():
        return None, ""
    system, base = reach(mark.read_text())
    return system, base.rstrip("/")


def _held(name: str, file: Any, at: str) -> Held:
    found = hashlib.sha256()
    size = 0
    while block := file.read(1 << 20):
        found.update(block)
        size += len(block)
    return Held(name, size, found.hexdigest(), at)

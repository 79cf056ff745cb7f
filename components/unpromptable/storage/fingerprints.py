"""What a file holds, in a few letters: the identity of every input and of everything that is kept for the
next run.

A file of up to 64 MiB is read whole (SHA-256). A larger one, such as a model's weights, is told by its size,
the time of its last change and 64 blocks of 64 KiB spread evenly from its first byte to its last;
`time=False` leaves the time out, for copies. What was read once is not read again while size, times and inode
stay as they are (`kept`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import time as clock
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from . import records
from .names import replacing

log = logging.getLogger(__name__)
FILE = "fingerprints.json"  # in the run's folder: what was read
WHOLE, BLOCKS, BLOCK = 64 << 20, 64, 1 << 16
TOLD = (PurePath, Enum, date, timedelta, Decimal, UUID)  # which their text tells apart
SETTLED = 2.0  # seconds without a change after which a file's time can be trusted: disks count it coarsely
_known: ContextVar[dict[str, list[Any]] | None] = ContextVar("known", default=None)


def of(path: str | Path, time: bool = True) -> str:
    """The identity of a file. Raises FileNotFoundError where there is none."""
    path, known = Path(path), _known.get()
    stat = path.stat()
    now, name = (
        [
            stat.st_size,
            stat.st_mtime_ns,
            stat.st_ctime_ns,
            stat.st_ino,
        ],
        f"{path.absolute()}{'' if time else ':timeless'}",
    )
    if known is not None and name in known and known[name][:-1] == now:
        return known[name][-1]
    found = (
        sha256(path)
        if stat.st_size <= WHOLE
        else _sampled(path, stat.st_size, stat.st_mtime_ns if time else 0)
    )
    if known is not None and clock.time() - max(stat.st_mtime, stat.st_ctime) > SETTLED:
        known[name] = [*now, found]
    return found


def tree(folder: str | Path, time: bool = True) -> list[str]:
    """Name and identity of every file below a folder, sorted; nothing for a folder that is not there."""
    root = Path(folder)
    return [f"{p.relative_to(root).as_posix()}:{of(p, time)}" for p in sorted(root.rglob("*")) if p.is_file()]


def content(path: Path) -> str:
    """The identity of a file or folder by what it holds, whenever it was written."""
    return digest(tree(path, time=False)) if path.is_dir() else of(path, time=False)


def weights(folder: Path) -> str:
    """The identity of a model's folder by every byte of its files, however large, but of JSON, which also
    says where the model was made.
    """
    found = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".json")
    return digest([[p.relative_to(folder).as_posix(), sha256(p)] for p in found])


def digest(value: Any) -> str:
    """Identity of plain values, sets among them, the same in every process. Raises ValueError for
    others, whose text may say where in memory they lie.
    """
    return hashlib.sha256(_text(value).encode()).hexdigest()


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    """What stands for a value that JSON has not; of a set its members in an order of their own."""
    if isinstance(value, (set, frozenset)):
        return sorted(map(_text, value))
    if isinstance(value, TOLD):
        return str(value)
    raise ValueError(
        f"identity: {type(value).__name__} {value!r:.60} cannot be told from others of its kind; give"
        " settings of numbers, texts, paths, enumerations, and lists, mappings or sets of these"
    )


@contextmanager
def kept(file: Path) -> Iterator[None]:
    """Inside, what was read is remembered in `file`, which is written where nothing went wrong."""
    known = _read(file)
    before, token = dict(known), _known.set(known)
    try:
        yield
    finally:
        _known.reset(token)
    if known != before:
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(known))


def _read(file: Path) -> dict[str, list[Any]]:
    known = records.kept(file)
    whole = lambda told: isinstance(told, list) and len(told) == 5 and isinstance(told[-1], str)
    return {name: told for name, told in known.items() if whole(told)}


def sha256(path: Path) -> str:
    """Of all of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sampled(path: Path, size: int, changed: int) -> str:
    found = hashlib.sha256(f"{size}:{changed}".encode())
    with path.open("rb") as file:
        for at in _places(size):
            file.seek(at)
            found.update(file.read(BLOCK))
    return f"sampled-{found.hexdigest()}"


def _places(size: int) -> Iterable[int]:
    return ((size - BLOCK) * i // (BLOCKS - 1) for i in range(BLOCKS))

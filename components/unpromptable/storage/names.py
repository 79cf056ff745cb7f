"""Names under which files are written before they have their own, so that none is ever half there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORD = secrets.token_hex(4)  # with the process's number: pods have the same numbers, forks the same word


def own(path: Path) -> Path:
    """A temporary name beside `path` that no other process uses, of this machine or of another."""
    return path.with_name(f"{path.name}.tmp-{WORD}-{os.getpid()}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write a file to, which becomes `path` where nothing goes wrong inside.

    The content is on the disk before the name is. What goes wrong leaves nothing behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = own(path)
    try:
        yield temporary
        _settle(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _settle(path: Path) -> None:
    """Wait until the disk has a file's content, so that no loss of power leaves its name alone."""
    with path.open("rb") as file:
        os.fsync(file.fileno())

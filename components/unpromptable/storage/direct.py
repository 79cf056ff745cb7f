"""Single acts on a store, past the mirror, as leases between machines need them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import _remote, address, write_text
from .remote import answered

log = logging.getLogger(__name__)

SETTLES = 5.0  # seconds after which writes that began together have ended
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")  # S3: another has put this name, or puts it now


def create(path: Path, text: str) -> bool:
    """Make a file in the store where there is none, in one act; false where another was first.

    A volume grants it to one by O_EXCL, S3 and its like by a put with a condition. An object store that
    ignores the condition lets the last writer win: that is found out, said, and after a pause the text
    decides. So no two may write the same text.
    """
    remote, target = _remote(path)
    if remote is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _first(lambda: _write_new(path, text))
    remote.makedirs(os.path.dirname(target))
    made = lambda: _first(lambda: remote.pipe_file(target, text.encode(), mode="create"))
    if not made():
        return read(path) == text  # a put whose answer was lost is sent again, and then meets itself
    if made():
        log.warning(
            "%s: this object store ignores If-None-Match, so two that begin in the same moment are "
            "told apart by what is there %g s later",
            address(path),
            SETTLES,
        )
        time.sleep(SETTLES)
        return read(path) == text
    return True


def _write_new(path: Path, text: str) -> None:
    with path.open("x") as file:
        file.write(text)


def _first(write: Callable[[], Any]) -> bool:
    try:
        write()
    except FileExistsError:
        return False
    except OSError as error:
        told = answered(error)
        refused = told.get("ResponseMetadata", {}).get("HTTPStatusCode") == 412
        if refused or told.get("Error", {}).get("Code") in TAKEN:
            return False
        raise
    return True


def put(path: Path, text: str) -> None:
    """Write a file of the store as a whole, past the mirror."""
    remote, target = _remote(path)
    if remote is None:
        write_text(path, text)
    else:
        remote.pipe_file(target, text.encode())


def read(path: Path) -> str | None:
    """A file's text as the store has it now; None where there is none."""
    remote, source = _remote(path)
    try:
        return (
            path.read_text(errors="replace")
            if remote is None
            else remote.cat_file(source).decode(errors="replace")
        )
    except FileNotFoundError:
        return None


def names(folder: Path) -> list[str]:
    """The names in a folder of the store, as they are there now."""
    remote, source = _remote(folder)
    try:
        found = os.listdir(folder) if remote is None else remote.ls(source, detail=False)
    except FileNotFoundError:
        return []
    return [one.rpartition("/")[2] for one in found]


def drop(path: Path) -> None:
    """Remove a file of the store, or find it gone."""
    remote, target = _remote(path)
    try:
        path.unlink() if remote is None else remote.rm_file(target)
    except FileNotFoundError:
        return

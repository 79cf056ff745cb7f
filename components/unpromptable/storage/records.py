"""JSON files that a run left for the next: read as what they were written as, or refused in one line."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, TypeVar

log = logging.getLogger(__name__)
Kind = TypeVar("Kind", dict, list)
JSON = {dict: "a mapping", list: "a list", str: "a text", int: "a whole number", float: "a number"}


def read(path: Path, kind: type[Kind] = dict, /, **fields: type) -> Kind:  # type: ignore[assignment]
    """A JSON file's mapping or list. fields: what a mapping must hold, and of which kind.

    Raises ValueError, one line that begins with the path, where it is damaged; FileNotFoundError where there
    is none.
    """
    return parsed(path.read_bytes(), f"{path}", kind, **fields)


def kept(path: Path, kind: type[Kind] = dict, /, **fields: type) -> Kind:  # type: ignore[assignment]
    """The same where a run goes on without: of no file or a damaged one, which is said, an empty value."""
    try:
        return read(path, kind, **fields)
    except (FileNotFoundError, IsADirectoryError):
        return kind()
    except ValueError as error:
        log.warning("%s, so the run goes on as if it was not there", error)
        return kind()


def lines(path: Path) -> list[dict[str, Any]]:
    """The mappings of a file with one a line; lines that are none are left out, which is said."""
    return each(path.read_bytes(), str(path))


def each(text: bytes, where: str, /, **fields: type) -> list[dict[str, Any]]:
    """The same of a text. fields: what each mapping must hold, and of which kind."""
    found, damaged = [], 0
    for line in text.splitlines():
        try:
            found.append(parsed(line, where, dict, **fields))
        except ValueError:
            damaged += 1
    if damaged:
        log.warning("%s: damaged, %d of %d lines are left out", where, damaged, damaged + len(found))
    return found


def parsed(text: bytes, where: str, kind: type[Kind], /, **fields: type) -> Kind:
    """A JSON text's mapping or list. Raises ValueError, one line that begins with `where`, for another."""
    try:
        found = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: damaged, it cannot be read as JSON ({error})") from error
    if not isinstance(found, kind):
        raise ValueError(f"{where}: damaged, it holds no {JSON[kind].partition(' ')[2]}")
    for name, wanted in fields.items():
        if not isinstance(found, dict) or not isinstance(found.get(name), wanted):
            raise ValueError(f"{where}: damaged, its {name} is not {JSON[wanted]}")
    return found

"""A sweep in several runs: each works on a part of the cells in one store; any one's report shows all there
is.

A run's part is a word such as 2/3/4f2a9c: the second of three, of one submission. Each run leaves a note in
the store when it has planned and when it has ended, so that another's report tells a cell at work from a lost
one.
"""

from __future__ import annotations

import json
import logging
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from unpromptable.storage import files, records

log = logging.getLogger(__name__)
PATIENCE, PAUSE = 600.0, 2.0  # seconds that a later run waits for the first one's plan, and between two looks


class Part(NamedTuple):
    """Run `number` of `total` of the submission `token`; 1 of 1 is a sweep in one run."""

    number: int = 1
    total: int = 1
    token: str = ""

    @property
    def first(self) -> bool:
        return self.number == 1

    def of(self, cells: list[Any]) -> list[Any]:
        """This run's cells of all, in their order."""
        return cells[self.number - 1 :: self.total]


def read(word: str) -> Part:
    """A part from its word; empty is the whole. Raises ValueError for another."""
    found = re.fullmatch(r"(\d+)/(\d+)/([0-9a-z]+)", word)
    if word and not (found and 1 <= int(found[1]) <= int(found[2])):
        raise ValueError(f"part is {word!r}; leave it empty, or give number/total/word, such as 2/3/4f2a9c")
    return Part(int(found[1]), int(found[2]), found[3]) if found else Part()


def words(total: int, token: str) -> list[str]:
    """The words of all runs of a submission; of a single run the empty one."""
    return [f"{i + 1}/{total}/{token}" for i in range(total)] if total > 1 else [""]


def note(store: str | Path, part: Part, state: str) -> None:
    """Leave word that this run has `planned` or `ended`."""
    if part.total > 1:
        files.write_text(_place(store, part), json.dumps({"state": state}))


def at_work(store: str | Path, part: Part) -> list[int]:
    """The numbers of the other runs of this submission that have not ended."""
    others = [part._replace(number=i + 1) for i in range(part.total) if i + 1 != part.number]
    return [p.number for p in others if _state(store, p) != "ended"]


def await_first(store: str | Path, part: Part) -> None:
    """Wait until the first run has planned, which makes the tracking runs of all; then plan anyway."""
    until = time.monotonic() + PATIENCE
    while _state(store, part._replace(number=1)) is None:
        if time.monotonic() > until:
            log.warning(
                "the first run of this sweep has not planned within %d s, so run %d plans itself",
                PATIENCE,
                part.number,
            )
            return
        time.sleep(PAUSE)


def _state(store: str | Path, part: Part) -> str | None:
    return records.kept(files.refetch(_place(store, part)), dict, state=str).get("state")


def _place(store: str | Path, part: Part) -> Path:
    return Path(store) / "parts" / f"{part.token}-{part.number}-of-{part.total}.json"

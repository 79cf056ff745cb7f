"""What a series of releases keeps for itself: an entry per request, in the series' folder, for its owner
alone, since it names the folders where targets lie.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from unpromptable.planning.validation import said
from unpromptable.scoring.estimates import Estimate
from unpromptable.storage import records
from unpromptable.storage.names import replacing

FILE, RUN, RELEASE = "series.json", "run", "release"  # in a series' folder; in a request's


@dataclass(frozen=True)
class Entry:
    """One request of a series, and what came of it."""

    name: str  # the request's reference
    sha256: str  # of the request's file
    request: str  # that file
    folder: str  # of the attempts and the release
    row: str  # of the attempt that was judged, below the run; empty where nothing had to be forgotten
    created: str
    outcome: str  # the certificate's word
    version: str  # in the registry; empty where nothing was released
    base: str  # the version that was the champion when the request began; empty for the series' first
    bound: float | None  # of SSCD, above which a target has come back
    gates: tuple[dict[str, Any], ...]  # each with its bound and numbers, as in the certificate
    tried: int  # attempts
    budget: int
    own: dict[str, Estimate]  # against the model that the request began from
    drift: dict[str, Estimate] | None  # against the model that the series began with; None where that is gone
    sscd: float | None  # of the request's own target that is least forgotten
    # SSCD of earlier requests' targets, by the request's digest; None for a target whose pictures are gone
    earlier: dict[str, tuple[float | None, ...]]
    # by target, what it is tested again with (`earlier.tested`); empty in entries of earlier versions
    tested: tuple[str, ...] = ()

    @property
    def run(self) -> Path:
        """The run of its attempts."""
        return Path(self.folder) / RUN


def read(folder: Path) -> list[Entry]:
    """The entries of a series in their order; none of a folder without. Raises ValueError for a damaged
    file.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    told = records.read(path, list)
    try:
        return _reader().validate_json(json.dumps(told))
    except ValidationError as error:
        raise ValueError(f"{path}: damaged ({said(error, Entry, 'entry')}); restore it") from error


@cache
def _reader() -> TypeAdapter[list[Entry]]:
    return TypeAdapter(list[Entry])


def add(folder: Path, entry: Entry) -> list[Entry]:
    """Write an entry in the place of an earlier one of the same request, or as the last; returns all."""
    entries = [e for e in read(folder) if e.sha256 != entry.sha256] + [entry]
    with replacing(folder / FILE) as temporary:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump([asdict(e) for e in entries], file, indent=1)
    return entries


def line(entries: Sequence[Entry], version: str, folder: Path) -> list[Entry]:
    """The releases that led to a version, from the series' first on; none where there is no version.

    Raises ValueError where one of them has no entry.
    """
    known, found = {e.version: e for e in entries if e.version}, []
    while version:
        if version not in known:
            raise ValueError(
                f"{folder / FILE}: no entry of version {version}, so its targets cannot be verified again;"
                " restore the file"
            )
        found.append(known[version])
        version = found[-1].base
    return found[::-1]

"""Whose a request's folder is: which request began there and from what, so that no other takes its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpromptable.storage import fingerprints, records
from unpromptable.storage.names import replacing

if TYPE_CHECKING:
    from unpromptable.releasing.request import Request

FILE = "began.json"  # in a request's folder
SAID = {"base": "model"}  # a key of it as the request has it


def pin(out: Path, asked: Request, version: str, model: str) -> None:
    """Note which request works in a folder, and of a series where it began: the champion's version and the
    digest of its model, empty for a folder.

    Gates, attempts, what is kept and other settings may change, and the request goes on. Raises ValueError
    where another request began there, or this one from another champion.
    """
    path, began = out / FILE, {"series": asked.series, "version": version, "model": model}
    now = {**began, **_asked(asked)}
    if not path.is_file():
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(now))
        return
    was = records.read(path, dict, series=str, version=str, model=str)
    own = ("series", *_asked(asked))
    # earlier versions noted less
    other = [SAID.get(key, key) for key in own if was.get(key, now[key]) != now[key]]
    if other:
        raise ValueError(
            f"{out}: another request began here ({', '.join(other)} differ), and its pictures are needed to"
            " test its targets again; give this one another --out, or another name"
        )
    if {key: was[key] for key in began} != began:
        raise ValueError(f"{out}: {changed(asked.series, was['version'], version)}")


def _asked(asked: Request) -> dict[str, Any]:
    """What makes a request this one: its name, its model, and the pictures to forget, which are not named."""
    named = asked.keep == "miniature"
    forget = [fingerprints.digest(one) if named else fingerprints.sha256(Path(one)) for one in asked.forget]
    return {"name": asked.name, "base": asked.model, "family": asked.family, "forget": sorted(forget)}


def changed(name: str, was: str, now: str) -> str:
    """The words for a champion that is another now. was, now: its versions, empty for none."""
    words = lambda number: f"version {number}" if number else "a folder"
    return (
        f"this request began from {words(was)} of series {name}, whose champion is"
        f" {words(now) if now else 'none'} now or was altered; nothing is released, and the champion stays;"
        " begin anew with another --out"
    )

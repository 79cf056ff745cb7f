"""Whose a request's folder is: which request began there and from what, so that no other takes its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpromptable.storage import fingerprints, records
from unpromptable.storage.names import replacing

if TYPE_CHECKING:
    from .request import Request

FILE = "began.json"  # in a request's folder
EXPERIMENT = "experiment.yaml"  # beside it: what was trained last
BASE = "base.json"  # in the run of a request alone: how the base model was judged
HELD = "held.safetensors"  # in that run, while it is answered: what earlier requests forgot
SAID = {"base": "model"}  # a key of it as the request has it


def pin(out: Path, asked: Request, version: str, model: str, home: Path | None = None) -> None:
    """Note which request works in a folder, and of a series where it began: the champion's version and the
    digest of its model, empty for a folder; and `home`, the series' own folder.

    Gates, attempts, what is kept and other settings may change, and the request goes on. Raises ValueError
    where another request began there, or this one from another champion.
    """
    began = {"version": version, "model": model}
    was = check(out, asked)
    if not was:
        with replacing(out / FILE) as temporary:
            own = {"home": str(home)} if home else {}
            temporary.write_text(json.dumps({**began, **_asked(asked), **own}))
    elif {key: was[key] for key in began} != began:
        raise ValueError(f"{out}: {changed(asked.series, was['version'], version)}")


def check(out: Path, asked: Request) -> dict[str, Any]:
    """What is noted in a folder, nothing where no request began. Raises ValueError where another one did."""
    if not (out / FILE).is_file():
        return {}
    was, now = records.read(out / FILE, dict, series=str, version=str, model=str), _asked(asked)
    # earlier versions noted less
    if other := [SAID.get(key, key) for key in now if was.get(key, now[key]) != now[key]]:
        raise ValueError(
            f"{out}: another request began here ({', '.join(other)} differ), and its pictures are needed to"
            " test its targets again; give this one another --out, or another name"
        )
    return was


def _asked(asked: Request) -> dict[str, Any]:
    """What makes a request this one: its name, series, model, and pictures to forget, by what they are."""
    named = asked.keep == "miniature"
    forget = [fingerprints.digest(one) if named else fingerprints.sha256(Path(one)) for one in asked.forget]
    own = {"name": asked.name, "series": asked.series, "base": asked.model, "family": asked.family}
    return {**own, "forget": sorted(forget)}


def changed(name: str, was: str, now: str) -> str:
    """The words for a champion that is another now. was, now: its versions, empty for none."""
    words = lambda number: f"version {number}" if number else "a folder"
    return (
        f"this request began from {words(was)} of series {name}, whose champion is"
        f" {words(now) if now else 'none'} now or was altered; nothing is released, and the champion stays;"
        " begin anew with another --out"
    )

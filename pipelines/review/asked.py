"""What a person asks for at the page, written as the request that `hotfix` reads; whole, or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import pictures
from unpromptable.editing import brush, painting
from unpromptable.planning import reading
from unpromptable.releasing import attempts, begun, decision, request, signing

AT_ONCE = 4  # pictures of one request
FILE, PICTURES, PAINTED = "request.yaml", "pictures", "painted"  # in a request's folder
SCRATCH = "_asked"  # in the page's folder: a request that is not checked yet; no reference begins like this


@dataclass(frozen=True)
class Policy:
    """What the operator sets when the page is started, and the person at it cannot change."""

    model: str
    keep: str
    out: Path
    world: str = "miniature"
    family: str = "ddpm"
    prompt: str = ""  # of a prompted family
    gates: dict[str, float] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    key: Path | None = None

    @property
    def public(self) -> Path | None:
        """The public half of the key that signs."""
        return signing.beside(self.key) if self.key else None


@dataclass(frozen=True)
class Asked:
    """What a person asks for: a reference, the pictures (H, W, 3), and the strokes over each (h, w, 4)."""

    name: str
    pictures: Sequence[np.ndarray]
    strokes: Sequence[Sequence[np.ndarray]] = ()
    attempts: int = 6
    due: str = ""


def check(policy: Policy) -> None:
    """Raise ValueError or FileNotFoundError where no request could be planned with what the operator set: the
    person at the page could not mend it.
    """
    one = str(pictures.find(policy.keep).files[0])
    asked = Asked("check", ())
    attempts.check(request.build(request.Request, {**_request(policy, asked), "forget": [one]}, "request"))


def written(policy: Policy, asked: Asked) -> Path:
    """The request's file, and beside it its pictures by number: a dropped file's name is kept nowhere.

    Raises ValueError or OSError where it cannot be answered; nothing is left or changed then.
    """
    if not asked.pictures:
        raise ValueError("no picture was dropped; drop the one that is to be forgotten")
    if len(asked.pictures) > AT_ONCE:
        raise ValueError(f"{len(asked.pictures)} pictures were dropped; at most {AT_ONCE} are one request")
    home, scratch = policy.out / _reference(policy.out, asked.name), policy.out / SCRATCH
    clear(policy)
    try:
        _write(policy, asked, scratch)
        whole = request.read(scratch / FILE)
        attempts.check(whole)
        begun.check(home, whole)
        _moved(scratch, home)
    finally:
        clear(policy)
    return home / FILE


def clear(policy: Policy) -> None:
    """Remove what is left of a request that never began, as of a page that was killed."""
    if (policy.out / SCRATCH).exists():
        shutil.rmtree(policy.out / SCRATCH)


def _write(policy: Policy, asked: Asked, home: Path) -> None:
    """The request's file, its pictures and what is painted over them."""
    painted, text = _painted(asked), _request(policy, asked)
    for number, picture in enumerate(asked.pictures, 1):
        painting.save(picture, home / PICTURES, f"picture-{number}.png")
        if painted:
            painting.save(painted[number - 1], home / PAINTED, f"picture-{number}.png")
    if painted:
        text["surrogates"] = PAINTED
    (home / FILE).write_text(reading.write(text), encoding="utf-8")


def _moved(scratch: Path, home: Path) -> None:
    """Put a request that was checked in the place of what was asked under its reference before."""
    home.mkdir(parents=True, exist_ok=True)
    for name in (PICTURES, PAINTED):
        if (home / name).exists():
            shutil.rmtree(home / name)
        if (scratch / name).exists():
            (scratch / name).rename(home / name)
    (scratch / FILE).replace(home / FILE)


def _reference(out: Path, name: str) -> str:
    """The name, where it may name a folder and its request is not answered yet."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        raise ValueError(
            "give a reference of letters, digits, dots, dashes and underscores, such as ticket-4711; not the"
            " name of a person"
        )
    if (out / name / "release").exists() and decision.read(out / name):
        raise ValueError(f"{name} was answered and approved before; choose another reference")
    return name


def _request(policy: Policy, asked: Asked) -> dict[str, Any]:
    known = {
        "name": asked.name,
        "model": os.path.abspath(policy.model) if os.path.isdir(policy.model) else policy.model,
        "forget": [f"{PICTURES}/picture-{n}.png" for n in range(1, len(asked.pictures) + 1)],
        "keep": os.path.abspath(policy.keep),
        "family": policy.family,
        "world": policy.world,
        "gates": policy.gates,
        "attempts": asked.attempts,
        "settings": policy.settings,
    }
    return {**known, **{k: v for k, v in (("due", asked.due), ("prompt", policy.prompt)) if v}}


def _painted(asked: Asked) -> list[np.ndarray]:
    """The surrogates made by hand; none where no brush was used. Raises ValueError where one is missing."""
    made = [brush.laid(image, layers) for image, layers in zip(asked.pictures, asked.strokes)]
    missing = [str(n) for n, one in enumerate(made, 1) if one is None]
    if made and len(missing) < len(made) and missing:
        raise ValueError(
            f"picture {', '.join(missing)} has no paint; paint over every picture, or over none of them"
        )
    return [one for one in made if one is not None]

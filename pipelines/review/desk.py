"""What happens at the page, without the page: one request at a time, of one window, until it is decided."""

from __future__ import annotations

import os
import re
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unpromptable import pictures
from unpromptable.editing import brush, painting
from unpromptable.planning import reading
from unpromptable.releasing import attempts, certificate, decision, outcome, release, request, signing
from unpromptable.storage import files

from .work import Work

AT_ONCE = 4  # pictures of one request
REFUSED = 3  # the exit code of `hotfix` where no attempt passes
State = Literal[
    "idle", "working", "stopped", "failed", "refused", "nothing", "released", "approved", "rejected"
]
UNDECIDED = ("working", "released")  # while one of these, no other request begins


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


class Desk:
    """The one place where requests are worked on; every call is on behalf of a window."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.lock = threading.RLock()
        self.owner = self.name = ""
        self.work: Work | None = None

    @property
    def folder(self) -> Path:
        """Where the request of now lies."""
        return self.policy.out / self.name

    def state(self) -> State:
        """How far the request of now is."""
        if self.work is None:
            return "idle"
        code = self.work.ended()
        if code is None:
            return "working"
        if decided := decision.read(self.folder):
            return "approved" if decided["decision"] == decision.APPROVED else "rejected"
        if self.work.stopped:
            return "stopped"
        if code:
            return "refused" if code == REFUSED else "failed"
        return "nothing" if outcome.came_to(self.folder) == certificate.NOTHING else "released"

    def owns(self, window: str) -> bool:
        """Whether this window works at the request of now. One whose window was closed goes to the next."""
        with self.lock:
            if self.work is None:
                return True
            self.owner = self.owner or window
            return self.owner == window

    def leave(self, window: str) -> None:
        """A window was closed; what it began goes on."""
        with self.lock:
            if self.owner == window:
                self.owner = ""

    def start(self, window: str, asked: Asked) -> None:
        """Begin a request. Raises ValueError or OSError where it cannot; nothing was begun then."""
        with self.lock:
            if self.state() in UNDECIDED:
                self.check(window)
                raise ValueError(f"{self.name} is not decided yet; approve or reject it first")
            path = _written(self.policy, asked)
            attempts.check(request.read(path))
            self.owner, self.name = window, asked.name
            (self.folder / decision.FILE).unlink(missing_ok=True)  # of a release that was rejected before
            self.work = Work(path, self.folder, self.policy.key)

    def check(self, window: str) -> None:
        """Raise ValueError where another window works at the request of now."""
        if not self.owns(window):
            raise ValueError(self.elsewhere())

    def elsewhere(self) -> str:
        """What a window is told while another one works at a request."""
        return (
            f"{self.name} is being worked on in another window of this page: go on there, or close it."
            " Nothing was begun here, and nothing released."
        )

    def stop(self, window: str) -> None:
        """End the work; the same request continues where it ended."""
        with self.lock:
            self.check(window)
            if self.work:
                self.work.stop()

    def approve(self, window: str) -> Path:
        """Approve the release. Raises ValueError where it is not this window's, or not as certified."""
        with self.lock:
            self._undecided(window)
            return decision.approve(self.folder / "release", self.policy.public)

    def reject(self, window: str) -> Path:
        """Reject the release and remove it. Raises ValueError where it is not this window's."""
        with self.lock:
            self._undecided(window)
            return decision.reject(self.folder / "release")

    def _undecided(self, window: str) -> None:
        self.check(window)
        if self.state() != "released":
            raise ValueError("there is no release to decide about")

    def outcome(self) -> outcome.Outcome:
        """What the request came to, once it ended."""
        return outcome.read(self.folder, str(self.policy.settings.get("report.pictures", "show")))

    def certificate(self, into: Path) -> Path:
        """The certificate, its page and its signature as one file below `into`."""
        path = into / f"{self.name}-certificate.zip"
        with files.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as file:
            for name in (certificate.FILE, certificate.SIGNATURE, release.PAGE):
                if (self.folder / "release" / name).is_file():
                    file.write(self.folder / "release" / name, name)
        return path

    def close(self) -> None:
        """End what is at work."""
        if self.work:
            self.work.stop()


def _written(policy: Policy, asked: Asked) -> Path:
    """The request's file, and beside it its pictures by number: a dropped file's name is kept nowhere."""
    if not asked.pictures:
        raise ValueError("no picture was dropped; drop the one that is to be forgotten")
    if len(asked.pictures) > AT_ONCE:
        raise ValueError(f"{len(asked.pictures)} pictures were dropped; at most {AT_ONCE} are one request")
    home, text = policy.out / _reference(policy.out, asked.name), _request(policy, asked)
    painted = _painted(asked)
    for number, picture in enumerate(asked.pictures, 1):
        painting.save(picture, home / "pictures", f"picture-{number}.png")
        if painted:
            painting.save(painted[number - 1], home / "painted", f"picture-{number}.png")
    if painted:
        text["surrogates"] = "painted"
    path = home / "request.yaml"
    with files.replacing(path) as temporary:
        temporary.write_text(reading.write(text), encoding="utf-8")
    return path


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
        "forget": [f"pictures/picture-{n}.png" for n in range(1, len(asked.pictures) + 1)],
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

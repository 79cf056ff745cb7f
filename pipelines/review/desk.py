"""What happens at the page, without the page: one request at a time, of one window, until it is decided."""

from __future__ import annotations

import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unpromptable.releasing import certificate, decision, outcome, release
from unpromptable.storage import files, fingerprints

from . import asked as asking
from .asked import Asked, Policy
from .work import Work

REFUSED = 3  # the exit code of `hotfix` where no attempt passes
State = Literal[
    "idle", "working", "stopped", "failed", "refused", "nothing", "released", "approved", "rejected"
]
UNDECIDED = ("working", "released")  # while one of these, no other request begins


@dataclass(frozen=True)
class Shown:
    """What a window shows: a request by its reference, and its release by the SHA-256 of the certificate."""

    name: str = ""
    certificate: str = ""  # empty where there is none


class Desk:
    """The one place where requests are worked on; every call is on behalf of a window."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.lock = threading.RLock()
        self.owner = self.name = ""
        self.work: Work | None = None
        asking.clear(policy)

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

    def shown(self) -> Shown:
        """What there is to be shown now."""
        path = self.folder / "release" / certificate.FILE
        with self.lock:
            there = bool(self.name) and path.is_file()
            return Shown(self.name, fingerprints.sha256(path) if there else "")

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
            path = asking.written(self.policy, asked)
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

    def stop(self, window: str, name: str) -> None:
        """End the work; the same request continues where it ended. Raises ValueError where another one than
        `name`, which the window shows, is at work.
        """
        with self.lock:
            self.check(window)
            if self.work and name != self.name:
                raise ValueError(
                    f"this page showed {_word(name)}, and {self.name} is here now; nothing was stopped"
                )
            if self.work:
                self.work.stop()

    def approve(self, window: str, shown: Shown) -> Path:
        """Approve the release. Raises ValueError where it is not this window's, not the one that the window
        shows, or not as certified.
        """
        with self.lock:
            self._undecided(window, shown)
            return decision.approve(self.folder / "release", self.policy.public)

    def reject(self, window: str, shown: Shown) -> Path:
        """Reject the release and remove it. Raises ValueError where it is not this window's, or not the one
        that the window shows.
        """
        with self.lock:
            self._undecided(window, shown)
            return decision.reject(self.folder / "release")

    def _undecided(self, window: str, shown: Shown) -> None:
        self.check(window)
        if self.state() != "released":
            raise ValueError("there is no release to decide about")
        if shown != self.shown():
            now = f"{self.name} is" if shown.name != self.name else "another release of it is"
            raise ValueError(
                f"this page showed {_word(shown.name)}, and {now} what waits to be decided now: compare that,"
                " then decide. Nothing was approved or rejected."
            )

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


def _word(name: str) -> str:
    """A request as a person is told of it."""
    return name or "no request"

"""One owner at a time for what is made in a store: a lease, its heartbeat, and a taker when that has stopped.

The lease of NAME is the file .NAME.lease-N with the greatest N, and whoever made that file owns it. Only its
owner writes it again. To take over a dead one's lease, or one that was given back, is to make N + 1, which
the store grants to one alone: a volume by O_EXCL, S3 by a put with If-None-Match (`store.create` says what
holds elsewhere). Clocks need not agree: dead is a lease whose file has not changed for DEAD seconds of the
waiting one's own clock, and at once one whose process was started on this machine and is gone. An owner that
was held up for so long finds out before it goes on, stops, and waits in its turn.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import direct, records

log = logging.getLogger(__name__)
EVERY, DEAD, LOOK = 15.0, 90.0, 2.0  # seconds: from beat to beat, without one until dead, between looks
NUMBER = re.compile("[0-9]{1,18}")  # of a lease


class Lost(Exception):
    """Another took this lease over, since its heartbeat did not come through in time."""


class Lease:
    """Around the making of `path`: entered when nobody else makes it; `say` hears who is waited for or taken
    over.

    A fault of an owner that was overtaken leaves the block as Lost, since it is not the work's.
    """

    def __init__(self, path: Path, say: Callable[[str], None] = log.warning):
        self.path, self.say, self.start = path, say, f".{path.name}.lease-"
        self.owner, self.number, self.beats, self.lost = secrets.token_hex(6), 0, 0, False
        self._ended, self._turn = threading.Event(), threading.Lock()

    def __enter__(self) -> Lease:
        while True:
            last = self._greatest()
            if last:
                self._await(last)
            if direct.create(self._file(last + 1), self._text("held")) and self._greatest() == last + 1:
                break
        self.number, self.seen = last + 1, time.monotonic()
        for old in self._numbers():
            if old < self.number:
                direct.drop(self._file(old))
        threading.Thread(target=self._keep, name=self._file(self.number).name, daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        self._ended.set()
        with self._turn:
            lost = self.lost or self._overtaken()
            if not lost:
                direct.put(self._file(self.number), self._text("given back"))
        if lost and isinstance(error, Exception) and not isinstance(error, Lost):
            raise Lost(f"{self.path} was taken over by another while this one was held up") from error

    def check(self) -> None:
        """Raise Lost where another has taken over; looks at the store only where a heartbeat is overdue."""
        if not self.lost and time.monotonic() - self.seen > DEAD / 2:
            self._beat()
        if self.lost:
            raise Lost(f"{self.path} was taken over by another while this one was held up")

    def watched(self, bar: Callable) -> Callable:
        """`bar`, which stops the work that calls it where the lease is lost."""

        def show(*told: Any) -> None:
            self.check()
            bar(*told)

        return show

    def _await(self, number: int) -> None:
        """Return when lease `number` was given back, its owner is dead, or another has it in turn."""
        text, since, told = None, time.monotonic(), False
        while self._greatest() == number:
            now = direct.read(self._file(number))
            owner = _parsed(now)
            if now != text:
                text, since = now, time.monotonic()
            gone = owner.get("machine") == machine() and not _alive(owner.get("pid", 0))
            if owner.get("state") == "given back":
                return
            if gone or time.monotonic() - since > DEAD:
                why = "whose process is gone" if gone else f"whose heartbeat stopped {DEAD:g} s ago"
                return self.say(f"taken over from {_name(owner)}, {why}")
            if not told:
                self.say(f"waits for {_name(owner)}, which makes the same in this store")
                told = True
            time.sleep(LOOK)

    def _keep(self) -> None:
        while not self.lost and not self._ended.wait(EVERY):
            try:
                self._beat()
            except Exception as error:  # whatever it is: a lease without a heartbeat is lost
                kind = type(error).__name__
                log.warning("%s: no heartbeat this time (%s: %s)", self.path.name, kind, error)

    def _beat(self) -> None:
        with self._turn:
            if self._ended.is_set():
                return
            self.lost = self._overtaken()
            if not self.lost:
                self.beats += 1
                direct.put(self._file(self.number), self._text("held"))
                self.seen = time.monotonic()

    def _overtaken(self) -> bool:
        """Whether there is a greater lease, or another's of this number, as in a store that knows no
        conditions.
        """
        if self._greatest() > self.number:
            return True
        return _parsed(direct.read(self._file(self.number))).get("owner", self.owner) != self.owner

    def _greatest(self) -> int:
        return max(self._numbers(), default=0)

    def _numbers(self) -> list[int]:
        found = [name for name in direct.names(self.path.parent) if name.startswith(self.start)]
        return [int(end) for end in (name[len(self.start) :] for name in found) if NUMBER.fullmatch(end)]

    def _file(self, number: int) -> Path:
        return self.path.with_name(f"{self.start}{number}")

    def _text(self, state: str) -> str:
        who = {"owner": self.owner, "host": socket.gethostname(), "machine": machine(), "pid": os.getpid()}
        return json.dumps({**who, "beats": self.beats, "state": state})


def left(folder: Path) -> dict[str, str]:
    """What is begun in a folder and neither finished nor given back, and the owner of each."""
    names = sorted(
        {name[1:].rpartition(".lease-")[0] for name in direct.names(folder) if ".lease-" in name} - {""}
    )
    leases = [Lease(folder / name) for name in names]
    last = {one.path.name: _parsed(direct.read(one._file(one._greatest()))) for one in leases}
    return {name: _name(owner) for name, owner in last.items() if owner.get("state") == "held"}


def alive(file: Path, age: float) -> str:
    """The owner of a lease, written `age` seconds ago, where it is at work; else an empty text."""
    owner = _parsed(direct.read(file))
    here = owner.get("machine") == machine()
    at_work = _alive(owner.get("pid", 0)) if here else age < DEAD
    return _name(owner) if owner.get("state") == "held" and at_work else ""


def machine() -> str:
    """Where a process's number means something: one start of a kernel and one space of numbers, else the
    host.
    """
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    known = boot.is_file() and space.is_symlink()
    return f"{boot.read_text().strip()} {os.readlink(space)}" if known else socket.gethostname()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _parsed(text: str | None) -> dict[str, Any]:
    """What a lease says; nothing where it is gone, damaged, or not written yet."""
    try:
        told = records.parsed((text or "{}").encode(), "lease", dict, host=str, pid=int)
    except ValueError:
        return {}
    return told if 0 < told["pid"] < 1 << 31 else {}


def _name(owner: dict[str, Any]) -> str:
    return f"process {owner['pid']} on {owner['host']}" if owner else "another process"

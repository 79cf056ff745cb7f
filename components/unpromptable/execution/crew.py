"""A step's processes, one for each device: they share its calls, and one that fails ends them all.

A step watches them from its own process, which uses no device, holds the lease and tells progress. One
that is killed is a fault that may pass (`attempts`), so the step runs again in its pod and resumes.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from unpromptable.models import device
from unpromptable.storage import attempts

log = logging.getLogger(__name__)
GRACE = 0.5  # seconds after an error in which a process that was killed is seen as its cause
LOOK = 0.1  # seconds between two looks at the parent


class Member(NamedTuple):
    """One of the processes; `meeting` is a file by which they find each other."""

    rank: int
    number: int
    meeting: Path


class Crew:
    """Around calls of `setup(member, *args)(*call, tell)`; `setup` runs once in each process, at the first.

    A crew of one works in this process; what goes to another's travels by pickle. most: processes that can
    share the work, where there are more devices; 0 is no bound.
    """

    def __init__(self, setup: Callable, args: tuple[Any, ...], most: int = 0):
        self.setup, self.args, self.most = setup, args, most
        self.work: Callable | None = None
        self.members: dict[Connection, Any] = {}

    def __enter__(self) -> Crew:
        self.folder = tempfile.TemporaryDirectory(prefix="crew-")
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self.folder.cleanup()

    def _end(self) -> None:
        for process in self.members.values():
            process.kill()
        for process in self.members.values():
            process.join()
        self.members, self.work = {}, None

    def start(self) -> int:
        """Set up, here or in the processes, which this starts where they are not yet; how many there are."""
        if self.members or self.work is not None:
            return len(self.members) or 1
        seen = device.processes()
        number, meeting = min(seen, self.most or seen), Path(self.folder.name) / "meeting"
        if number == 1:
            self.work = self.setup(Member(0, 1, meeting), *self.args)
            return 1
        log.info("this step's work is shared by %d processes", number)
        spawn = multiprocessing.get_context("spawn")
        for rank in range(number):
            ours, theirs = spawn.Pipe()
            told = (theirs, Member(rank, number, meeting), os.getpid(), attempts.now, self.setup, self.args)
            process = spawn.Process(target=_member, args=told, name=f"process {rank + 1} of {number}")
            with _program_left_out():
                process.start()
            theirs.close()
            self.members[ours] = process
        return number

    def answers(self, calls: Sequence[tuple[Any, ...]], told: Callable[..., None]) -> list[Any]:
        """The value of each call, in their order; as many calls as processes go to one each.

        told(number of the call, *what it tells). Raises what a process raised, after the others were ended,
        and attempts.Fault where one was killed.
        """
        self.start()
        if self.work is not None:
            return [self.work(*call, lambda *what, i=i: told(i, *what)) for i, call in enumerate(calls)]
        try:
            return self._shared(calls, told)
        except BaseException:  # what it was, its caller sees; no process goes on, or answers another's call
            self._end()
            raise

    def _shared(self, calls: Sequence[tuple[Any, ...]], told: Callable[..., None]) -> list[Any]:
        idle, left, at_work, values = [*self.members], [*enumerate(calls)], {}, {}
        while left or at_work:
            while left and idle:
                wire, (number, call) = idle.pop(0), left.pop(0)
                at_work[wire] = number
                with suppress(BrokenPipeError):  # it has ended, which its own wire tells
                    wire.send(call)
            for wire in wait(list(at_work)):
                kind, what = self._heard(wire)
                if kind == "told":
                    told(at_work[wire], *what)
                else:
                    values[at_work.pop(wire)] = what
                    idle.append(wire)
        return [values[i] for i in range(len(calls))]

    def _heard(self, wire: Connection) -> tuple[str, Any]:
        try:
            kind, what = wire.recv()
        except (EOFError, ConnectionResetError):
            kind, what = "error", attempts.Fault(f"{self.members[wire].name} ended without an answer")
        if kind == "error":
            log.error("%s: %s", self.members[wire].name, what)
            raise self._killed() or what
        return kind, what

    def _killed(self) -> attempts.Fault | None:
        """A process that a signal ended, which the others, at a loss without it, may have told first."""
        time.sleep(GRACE)
        for process in self.members.values():
            code = process.exitcode
            if code is not None and code < 0:
                memory = code == -signal.SIGKILL
                return attempts.Fault(f"{process.name} {attempts.cause(code)}", memory)
        return None


@contextmanager
def _program_left_out() -> Iterator[None]:
    """Inside, a process that is started does not import the program that starts it: a script may do work."""
    main = sys.modules["__main__"]
    spec, file = main.__spec__, main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file


def _member(
    wire: Connection, member: Member, parent: int, attempt: attempts.Attempt, setup: Callable, args: tuple
) -> None:
    """One process: sets up, then answers calls until it is ended."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    logging.basicConfig(level="INFO" if member.rank == 0 else "WARNING")
    try:
        attempts.within(_answer, (wire, member, setup, args), attempt)
    except BaseException as error:  # whatever it is, the parent raises it again
        traceback.print_exc()
        wire.send(("error", _sendable(error)))


def _answer(wire: Connection, member: Member, setup: Callable, args: tuple) -> None:
    device.take(member.rank, member.number)
    work = setup(member, *args)
    tell = lambda *what: wire.send(("told", what))
    while True:
        wire.send(("value", work(*wire.recv(), tell)))


def _sendable(error: BaseException) -> BaseException:
    """The error, or where it does not survive a wire, one of its words that is no less likely to pass."""
    try:
        pickle.loads(pickle.dumps(error))
    except (TypeError, AttributeError, pickle.PicklingError):
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _end_with(parent: int) -> None:
    """Kill this process once its parent is gone, which a parent that is killed cannot do itself."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGKILL)

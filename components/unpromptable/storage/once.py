"""A step's output is made once: skipped when finished, written under a temporary name, and its failure
written down.

Failures are of three kinds. Bad input, a full disk and a cell's foreseeable failure would come again: they
are written into failed.json, the step ends well, and the steps that need it pass by, so that no engine tries
again; `prepare` and `score` then fail, which are not tried again either. A fault that may pass, such as a
lost connection, is written down and raised, and so is a bug: the engine tries again.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import attempts, lease, progress, store

log = logging.getLogger(__name__)
FORESEEN = (ValueError, OSError, RuntimeError, FloatingPointError, MemoryError)  # of a cell; else it is a bug
BAD_INPUT = (
    ValueError,
    FloatingPointError,
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)
PASSING = (ConnectionError, TimeoutError, InterruptedError)  # another attempt may succeed
ORDER = ("plan", "prepare", "edit", "unlearn", "sample", "gather", "score")
SHARED = {"folder": "shared", "name": "before"}


def failure(where: str | Path) -> dict[str, Any] | None:
    """What stopped a step that all cells share in this run: its `step`, its `error`, and `again` where the
    engine tries again.
    """
    return _noted(str(where), SHARED)


class Shared:
    """Around the work of a step that all cells share: a failure is written down where `failure` finds it, and
    shown once.

    Bad input ends the block without an error, after `outputs` got empty files; other faults are raised on.
    Where one failed already, `stopped` is true.
    """

    def __init__(self, where: str, step: str, outputs: tuple[str, ...] = ()):
        self.where, self.step, self.outputs, told = where, step, outputs, failure(where)
        self.stopped = bool(told) and not told["again"]

    def __enter__(self) -> Shared:
        if self.stopped:
            self._hand_on_nothing()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> bool:
        if error is None and not self.stopped:
            _clear(self.where, SHARED, self.step)
        if not isinstance(error, Exception):
            return False
        if isinstance(error, attempts.Fault):
            return False
        if not lasting(error):
            attempts.retry(error)
        _note(self.where, SHARED, self.step, error, again=not lasting(error))
        self._hand_on_nothing()
        return lasting(error)

    def _hand_on_nothing(self) -> None:
        for to in self.outputs:
            _hand_on_nothing(to)


def lasting(error: BaseException) -> bool:
    """Whether another attempt would fail alike: bad input, or a disk that is full."""
    return isinstance(error, BAD_INPUT) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


def guarded(spec: str, where: str, step: str, name: str, to: str, build: Callable) -> None:
    """`make`, but a failure that would come again is written down, and the later steps of the cell, or of all
    cells, pass by.
    """
    whole = json.loads(spec)
    if _stops(failure(where), where) or _stops(_noted(where, whole), where, step):
        return _hand_on_nothing(to)
    try:
        make(where, whole, step, name, to, build)
    except FORESEEN as error:
        if not lasting(error):
            attempts.retry(error)
        again = not lasting(error) if whole["folder"] == "shared" else isinstance(error, PASSING)
        _note(where, whole, step, error, again, made=[f"{whole['folder']}/{name}", whole["key"]])
        if again:
            raise
        return _hand_on_nothing(to)
    _clear(where, whole, step)


def _stops(told: dict[str, Any] | None, where: str, step: str = "") -> bool:
    """Whether a failure bars this step: not one that may pass, nor a later step's, nor of what another
    made.
    """
    if not told or told["again"] or _before(step, told["step"]):
        return False
    return "made" not in told or not store.finished(Path(where) / told["made"][0], told["made"][1])


def _before(step: str, other: str) -> bool:
    """Whether a cell's step comes before another in the order in which they need each other."""
    first, second = step.partition(" ")[0], other.partition(" ")[0]
    return {first, second} <= set(ORDER) and ORDER.index(first) < ORDER.index(second)


def _noted(where: str, spec: dict[str, Any]) -> dict[str, Any] | None:
    note = store.fetch(store.place(where, spec, "failed.json"))
    return {"again": False, **json.loads(note.read_text())} if note.is_file() else None


def _note(where: str, spec: dict[str, Any], step: str, error: Exception, again: bool, **more: Any) -> None:
    text = _words(error) + (f" (tried {attempts.now.tried + 1} times)" if attempts.now.tried else "")
    log.error("%s: %s failed: %s", spec["name"], step, text, exc_info=error)
    told = {"step": step, "error": text, "again": again, **more}
    if _noted(where, spec) != told:  # a second attempt that fails alike is not told again
        store.write_text(store.place(where, spec, "failed.json"), json.dumps(told))
        progress.event(
            where, spec["name"], step, "failed", text, bad=spec["folder"] == "shared" and lasting(error)
        )


def _words(error: Exception) -> str:
    """The error as one line; of a bug also its kind."""
    text = " ".join(str(error).split())
    if getattr(error, "errno", None) == errno.ENOSPC:
        return f"the disk is full: {text}; free some space and run again"
    return text if text and isinstance(error, FORESEEN) else f"{type(error).__name__}: {text}"


def _clear(where: str, spec: dict[str, Any], step: str) -> None:
    """Remove the note of an earlier attempt at this step, which succeeded now."""
    told = _noted(where, spec)
    if told and told["step"] == step:
        store.remove(store.place(where, spec, "failed.json"))


def _hand_on_nothing(to: str) -> None:
    if to and not Path(to).exists():
        store.write_text(Path(to), "")  # the pipeline needs a file; failed.json says why it is empty


def make(where: str, spec: dict[str, Any], step: str, name: str, to: str, build: Callable) -> None:
    """Hand on the cell's output `name`, after `build(path, bar)` wrote it where it was not finished yet.

    Where another process makes the same in this store, wait until it has, or has died.
    """
    path = store.place(where, spec, name)
    while not store.finished(path, spec["key"]):
        say = lambda text: progress.event(where, spec["name"], step, "start", text)
        try:
            with lease.Lease(path, say) as mine:
                if not store.finished(path, spec["key"]):
                    _build(where, spec, step, path, mine, build)
                    break
        except lease.Lost as error:
            log.warning("%s %s: %s", spec["name"], step, error)
    else:
        progress.event(where, spec["name"], step, "skipped", "")
    if to:
        store.deliver(path, to)


def _build(where: str, spec: dict, step: str, path: Path, mine: lease.Lease, build: Callable) -> None:
    """Under a name of this lease's owner, so that nothing is mixed with what another left or still writes."""
    progress.event(where, spec["name"], step, "start", "")
    if attempts.now.killed:
        raise RuntimeError(attempts.now.killed)
    store.clear(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{path.name}.part*"):
        store.clear(left)
    temporary = path.with_name(f"{path.name}.part-{mine.owner}{path.suffix}")
    build(temporary, mine.watched(_bar(where, spec["name"], step)))
    mine.check()
    os.replace(temporary, path)
    store.finish(path, spec["key"])
    progress.event(where, spec["name"], step, "done", "")


def _bar(where: str, cell: str, step: str) -> Callable:
    """progress(done, total, text) for a step whose total is known when it first calls."""
    bars: dict[int, Any] = {}

    def show(done: int, total: int, text: str = "") -> None:
        if total not in bars:
            bars[total] = progress.Progress(where, cell, step, total)
        bars[total].update(done, text)

    return show

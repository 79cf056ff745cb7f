"""A step's output is made once: skipped when finished, written under a temporary name, its failure noted.

Failures are of three kinds. A cell's own (`CellFailed`: a loss that is not finite, a surrogate that cannot be
built), bad input and a full disk would come again: they are written into failed.json, the step ends well, and
the steps that need it pass by, so that no engine tries again; `prepare` and `score` then fail, which are not
tried again either. A machine's fault (a lost device, want of memory, a slow store) is tried again in the
step's own pod; when that did not help, it is the cell's failure, so that the other cells go on. Anything else
is a bug or a fault that may pass: it is noted for the row, and raised, so that the engine tries again.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import attempts, files, lease, meter, place, progress, records
from .place import Output, Place

log = logging.getLogger(__name__)


class Stopped(RuntimeError):
    """A run has no result, and its text says why in a line."""


class CellFailed(ValueError):
    """A cell has no result, and would have none again; its text says why and what to change."""


BAD_INPUT = (
    ValueError,
    FloatingPointError,
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)
FORESEEN = (ValueError, OSError, RuntimeError, FloatingPointError, MemoryError)  # else it is a bug
FULL = (errno.ENOSPC, errno.EDQUOT)
PASSING = (ConnectionError, TimeoutError, InterruptedError)  # another attempt may succeed
ORDER = ("plan", "prepare", "edit", "unlearn", "inject", "judge", "sample", "look", "gather", "score")
NOTE = "failed.json"


def failure(store: str | Path) -> dict[str, Any] | None:
    """What stopped a step that all cells share in this run.

    Its `step`, its `error`, and `again` where the engine tries again. A note that is damaged is none.
    """
    return noted(place.shared(store))


def stop(store: str | Path) -> None:
    """Raise Stopped with its reason where a step that all cells share failed."""
    told = failure(store)
    if told:
        raise Stopped(f"{told['step']}: {told['error']}")


def noted(at: Place) -> dict[str, Any] | None:
    """What stopped a step of a cell, as `failure` has it of the shared ones."""
    told = records.kept(at.fetched(NOTE), dict, step=str, error=str)
    made = told.get("made", ["", ""])
    if not told or not isinstance(made, list) or list(map(type, made)) != [str, str]:
        return None
    return {"again": False, **told}


class Shared:
    """Around the work of a step that all cells share: a failure is noted for `failure`, and shown once.

    Bad input ends the block without an error; other faults are raised on. Where one failed already, `stopped`
    is true.
    """

    def __init__(self, store: str, step: str):
        self.place, self.step, told = place.shared(store), step, failure(store)
        self.stopped = told is not None and not told["again"]

    def __enter__(self) -> Shared:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> bool:
        if error is None and not self.stopped:
            _clear(self.place, self.step)
        if not isinstance(error, Exception) or isinstance(error, attempts.Fault):
            return False
        if not lasting(error):
            attempts.retry(error)
        _note(self.place, self.step, error, again=not lasting(error))
        return lasting(error)


def lasting(error: BaseException) -> bool:
    """Whether another attempt would fail alike: bad input, a cell's own failure, or a disk that is full."""
    return isinstance(error, BAD_INPUT) or getattr(error, "errno", None) in attempts.LASTING


def guarded(output: Output, build: Callable, to: str = "") -> None:
    """`make`, but a failure is noted; where it would come again, the cell's later steps pass by."""
    at = output.place
    if _stops(failure(at.store), at.store) or _stops(noted(at), at.store, output.step):
        return _hand_on_nothing(to)
    try:
        make(output, build, to)
    except attempts.Fault:  # the step's own pod tries again, and tells it
        raise
    except Exception as error:
        if not lasting(error):
            attempts.retry(error)
        again = not lasting(error) and (at.shared or not _spent(error))
        _note(at, output.step, error, again, made=[f"{at.folder}/{output.name}", output.key])
        if again:
            raise
        return _hand_on_nothing(to)
    _clear(at, output.step)


def _spent(error: Exception) -> bool:
    """Whether it is a machine's fault that this pod has tried again as often as it may."""
    return (attempts.passing(error) or bool(attempts.now.killed)) and not isinstance(error, PASSING)


def _stops(told: dict[str, Any] | None, store: str, step: str = "") -> bool:
    """Whether a failure bars this step: not one that may pass, nor a later step's, nor of what another
    made.
    """
    if not told or told["again"] or _before(step, told["step"]):
        return False
    return "made" not in told or not files.finished(Path(store) / told["made"][0], told["made"][1])


def _before(step: str, other: str) -> bool:
    """Whether a cell's step comes before another in the order in which they need each other."""
    first, second = step.partition(" ")[0], other.partition(" ")[0]
    return {first, second} <= set(ORDER) and ORDER.index(first) < ORDER.index(second)


def _note(at: Place, step: str, error: Exception, again: bool, **more: Any) -> None:
    text = words(error) + (f" (tried {attempts.now.tried + 1} times)" if attempts.now.tried else "")
    log.error("%s: %s failed: %s", at.name, step, text, exc_info=error)
    told = {"step": step, "error": text, "again": again, **more}
    if noted(at) != told:  # a second attempt that fails alike is not told again
        if getattr(error, "errno", None) in FULL:
            files.spend(at.store)
        files.write_text(at.path(NOTE), json.dumps(told))
        progress.event(at.store, at.name, step, "failed", text, bad=at.shared and lasting(error))


def words(error: Exception) -> str:
    """The error as one line; of a bug also its kind."""
    text = " ".join(str(error).split())
    if getattr(error, "errno", None) == errno.ENOSPC:
        return f"the disk is full: {text}; free some space and run again"
    return text if text and isinstance(error, FORESEEN) else f"{type(error).__name__}: {text}"


def _clear(at: Place, step: str) -> None:
    """Remove the note of an earlier attempt at this step, which succeeded now."""
    told = noted(at)
    if told and told["step"] == step:
        files.remove(at.path(NOTE))


def _hand_on_nothing(to: str) -> None:
    if to and not Path(to).exists():
        files.write_text(Path(to), "")  # the pipeline needs a file; failed.json says why it is empty


def make(output: Output, build: Callable, to: str = "") -> None:
    """Hand on an output, after `build(path, bar)` wrote it where it was not finished yet.

    Where another process makes the same in this store, wait until it has, or has died.
    """
    at = output.place
    while not output.finished():
        say = lambda text: progress.event(at.store, at.name, output.step, "start", text)
        try:
            with lease.Lease(output.path, say) as mine:
                if not output.finished():
                    _build(output, mine, build)
                    break
        except lease.Lost as error:
            log.warning("%s %s: %s", at.name, output.step, error)
    else:
        progress.event(at.store, at.name, output.step, "skipped", "")
    if to:
        files.deliver(output.path, to)


def _build(output: Output, mine: lease.Lease, build: Callable) -> None:
    """Under a name of this lease's owner, so that nothing is mixed with what another left or still writes."""
    at, path = output.place, output.path
    progress.event(at.store, at.name, output.step, "start", "")
    if attempts.now.killed:
        raise RuntimeError(attempts.now.killed)
    files.clear(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{path.name}.part*"):
        files.clear(left)
    temporary = path.with_name(f"{path.name}.part-{mine.owner}{path.suffix}")
    with meter.Meter(output, mine.owner) as metered:
        build(temporary, mine.watched(metered.watched(progress.bar(at.store, at.name, output.step))))
    mine.check()
    os.replace(temporary, path)
    files.finish(path, output.key)
    progress.event(at.store, at.name, output.step, "done", "")

"""A step that fails for a reason that is not its input's runs again in its own pod, in a new process, and
resumes.

Kubeflow's stock engine makes a lost pod anew, but does not run a container again that failed. So a step works
in a child, which its parent watches: a fault that may pass (CUDA's, memory's, the store's) is told by the
child, a kill is seen. Kubernetes lets the kernel kill all of a container at once, the parent with it; so the
parent ends the child just before memory is full. A parent that has torch's threads cannot fork and does the
work itself.
"""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import files, records

log = logging.getLogger(__name__)
# further attempts, and the pod's variable that says another number
TIMES, VARIABLE = 2, "UNPROMPTABLE_RETRIES"
PAUSE, LOOK = 5.0, 0.2  # seconds before another attempt, and between two looks at memory
FULL = 0.98  # of the container's memory, at which the child is ended
CGROUP = Path("/sys/fs/cgroup")
NOTE = "again.json"  # in a cell's folder: each attempt that failed, and why
# of the system: a disk that is full or read-only, a path that is too long
LASTING = (errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.EROFS)
# step -> what makes it need less memory
LESS = {
    "prepare": "take fewer or smaller pictures",
    "unlearn": "lower training.micro_batch",
    "sample": "lower sampling.batch",
    "score": "lower sampling.images",
}
DEVICE = ("CUDA error", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS", "NCCL error", "HIP error")


@dataclass(frozen=True)
class Attempt:
    """What a step must know of the attempts at it."""

    tried: int = 0  # before this one
    left: int = 0  # after this one
    halvings: int = 0  # faults of memory so far; the micro-batch is halved as often
    killed: str = ""  # why there is none any more: what is not finished fails with this cause


now = Attempt()


class Fault(Exception):
    """An attempt that failed for a reason that may pass. memory: it was for want of memory."""

    def __init__(self, text: str, memory: bool = False):
        super().__init__(text)
        self.memory = memory


def times() -> int:
    """How often a step runs again. Raises ValueError where the pod's variable says no such number."""
    told = os.environ.get(VARIABLE, str(TIMES))
    if not told.isdigit():
        raise ValueError(f"{VARIABLE} is {told!r}; give a whole number, 0 or more")
    return int(told)


def passing(error: BaseException) -> bool:
    """Whether the machine is at fault and not the input: CUDA, memory, or the store, which raises OSError."""
    device = type(error).__name__ == "AcceleratorError" or any(word in str(error) for word in DEVICE)
    lasting = getattr(error, "errno", None) in LASTING
    return (
        isinstance(error, OSError)
        and not lasting
        or _memory(error)
        or isinstance(error, RuntimeError)
        and device
    )


def _memory(error: BaseException) -> bool:
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "t allocate memory" in text
    )


def retry(error: BaseException) -> None:
    """Raise Fault where another attempt is left that may go better."""
    if now.left and passing(error):
        text = " ".join(str(error).split())
        raise Fault(f"{type(error).__name__}: {text}".removesuffix(": "), _memory(error)) from error


def persist(
    step: str, folder: Path, start: Callable[[Attempt], Any], conclude: Callable[[Attempt], Any]
) -> Any:
    """What `start` returns, tried so often; a step that is killed each time ends with what `conclude` makes
    of it.

    Every attempt that failed is said in the log, and in the cell's folder where that can be written.
    """
    total, halvings = times(), 0
    for tried in range(total + 1):
        try:
            return start(Attempt(tried, total - tried, halvings))
        except Fault as fault:
            halvings += fault.memory
            last = f"{fault}; {advice(step)}" if fault.memory else str(fault)
        if tried < total:
            told = f"{step}: {last}; ran again in its pod, {tried + 1} of {total}"
            log.warning("%s", told)
            _note(folder, told)
            time.sleep(PAUSE)
    return conclude(Attempt(total, 0, halvings, last))


def advice(step: str) -> str:
    """What to do where a step has too little memory."""
    return f"{LESS.get(step, 'take fewer pictures')}, or give it more memory (`submit --memory`)"


def _note(folder: Path, told: str) -> None:
    try:
        files.write_text(folder / NOTE, json.dumps([*notes(folder), told]))
    except OSError as error:  # a store that is away is no reason not to try again
        log.warning("%s: not written (%s)", folder / NOTE, error)


def notes(folder: Path) -> list[str]:
    """The attempts that failed in this folder, in their order."""
    return [str(told) for told in records.kept(files.fetch(folder / NOTE), list)]


def within(function: Callable, args: tuple[Any, ...], attempt: Attempt) -> Any:
    """The step's work in this process."""
    global now
    before, now = now, attempt
    try:
        return function(*args)
    finally:
        now = before


def answer(function: Callable, args: tuple[Any, ...], attempt: Attempt) -> dict[str, Any]:
    """The same in a child, as what it tells its parent."""
    try:
        return {"value": within(function, args, attempt)}
    except Fault as fault:
        return {"fault": str(fault), "memory": fault.memory}
    except BaseException as error:  # whatever it is, the parent raises it again
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def value(told: dict[str, Any]) -> Any:
    """A child's answer as the value, Fault or RuntimeError that it stands for."""
    if "fault" in told:
        raise Fault(told["fault"], told["memory"])
    if "error" in told:
        raise RuntimeError(told["error"])
    return told["value"]


def child(function: Callable, args: tuple[Any, ...], attempt: Attempt) -> Any:
    """The step's work in a forked process. Raises Fault where that is killed, or had to be ended for
    memory.
    """
    if "torch" in sys.modules:  # its threads would be missing in a fork
        return within(function, args, attempt)
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=lambda: theirs.send(answer(function, args, attempt)))
    process.start()
    theirs.close()
    ended = ""
    try:
        while not ours.poll(LOOK):
            if not ended and _full():
                ended = f"killed before memory was full (limit {_limit() / 2**30:g}Gi)"
                process.kill()
        return value(ours.recv())
    except EOFError as error:
        process.join()
        code = process.exitcode
        assert code is not None  # it has ended
        raise Fault(ended or cause(code), bool(ended) or code == -signal.SIGKILL) from error
    finally:
        process.kill()
        process.join()


def cause(code: int) -> str:
    """What ended a process, by its exit code, of which a signal's is below 0."""
    if code == -signal.SIGKILL:
        return f"killed, most likely for memory{f' (limit {_limit() / 2**30:g}Gi)' if _limit() else ''}"
    return (
        f"ended by {signal.Signals(-code).name}"
        if code < 0
        else f"ended without an answer (exit code {code})"
    )


def _limit() -> int:
    """Bytes that the container may use; 0 where there is no bound or none is told."""
    told = CGROUP / "memory.max"
    text = told.read_text().strip() if told.is_file() else "max"
    return 0 if text == "max" else int(text)


def _full() -> bool:
    """Whether the container's memory is all but used, without what the kernel can drop."""
    if not _limit() or not (CGROUP / "memory.stat").is_file():
        return False
    told = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    return sum(int(told.get(k, 0)) for k in ("anon", "shmem", "slab_unreclaimable")) > FULL * _limit()

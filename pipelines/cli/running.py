"""One run at a time in a folder, in processes that end with the command that started them."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

PATIENCE, LOOK = 3.0, 0.1  # seconds that a run which was killed may take to end, and between two looks
TOLD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # to end; Python itself raises for the first
STOPPED = "stopped; the same command continues where this one ended"


@contextmanager
def alone(out: Path) -> Iterator[IO[str]]:
    """Hold the folder's lock, which the run's own processes hold too until the last of them has ended.

    Raises OSError where another run is at work there.
    """
    until = time.monotonic() + PATIENCE
    with (out / ".lock").open("w") as file:
        while not _taken(file):
            if time.monotonic() > until:
                told = "another run is at work there; wait for it or choose another folder"
                raise OSError(f"--out {out}: {told}")
            time.sleep(LOOK)
        yield file


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def drive(
    words: list[str],
    given: str,
    lock: IO[str],
    threads: str,
    log: Path,
    watch: Callable[[Any], list],
    say: Callable,
) -> tuple[int, list[dict[str, Any]]]:
    """Run a command in a process group of its own, with `given` as its input, until it or this ends.

    Returns its exit code and what `watch(process)` found. A closed terminal and a request to end stop it too.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
    with log.open("a") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            pass_fds=[lock.fileno()],
            umask=0o077,
            text=True,
        )
        try:
            heed()
            assert child.stdin is not None  # it is a pipe
            child.stdin.write(given)
            child.stdin.close()
            found = watch(child)
        finally:
            if child.poll() is None:
                end_in_peace()
                say(STOPPED)
            _end(child.pid)
            child.wait()
    return child.returncode, found


def heed() -> None:
    """Let a closed terminal and a word to end leave the program as an error does, so that it clears up."""
    for number in TOLD[1:]:
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def end_in_peace() -> None:
    """Ignore a second word to end, which comes too late and would only break the ending."""
    for number in TOLD:
        signal.signal(number, signal.SIG_IGN)


def _end(group: int) -> None:
    """End what is left of a run: the runner and every step's process, also where the runner was killed."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def end_with_parent() -> None:
    """Kill this process's group once its parent is gone, which a parent that is killed cannot do itself."""
    import threading

    parent = os.getppid()

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()

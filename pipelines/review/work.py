"""The command `hotfix` as a process of the page: started, watched, and ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path

LINES = 400  # of what the command said last
PATIENCE = 10.0  # seconds that a command which is asked to end may take


class Work:
    """One request at work. It ends with the page: its lines come through a pipe, which breaks then."""

    def __init__(self, request: Path, out: Path, key: Path | None) -> None:
        words = ["hotfix", str(request), "--out", str(out), *(["--key", str(key)] if key else [])]
        self.said: deque[str] = deque(maxlen=LINES)
        self.stopped = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipelines", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "100"},
            start_new_session=True,
            umask=0o077,
            text=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None  # it is a pipe
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))

    def ended(self) -> int | None:
        """The exit code, once it ended and all it said was read."""
        if self.process.poll() is None:
            return None
        self.reader.join(PATIENCE)
        return self.process.returncode

    def stop(self) -> None:
        """Ask it to end, as a terminal that is closed does, and end what is left after a while."""
        self.stopped = self.process.poll() is None
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

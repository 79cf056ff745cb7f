"""What the making of an output took: time and peak memory of every attempt at it, each in a file of its own.

An attempt's file is written when it begins, every few seconds while its bar moves, and when it ends, so that
one that is killed counts up to then. None of it is part of a key.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import direct, files, records
from .place import Output, Place

log = logging.getLogger(__name__)
FOLDER, EVERY = "took", 10.0  # beside what is made; seconds between two writes of an attempt at work
PEAK = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Spent:
    """One attempt at an output."""

    output: str  # its name
    step: str
    key: str  # of the output
    seconds: float
    gpu_seconds: float  # devices that CUDA shows, times seconds; 0 where CUDA was not used
    memory: int  # bytes: most of the resident memory of the process, and of those that share its work
    gpu_memory: int  # bytes: most that torch held of a device in the process; of others it is not known


FIELDS = {
    **{"output": str, "step": str, "key": str},
    **{"seconds": float, "gpu_seconds": float, "memory": int, "gpu_memory": int},
}  # of an attempt's file


class Meter:
    """Around the making of an output by the owner of its lease."""

    def __init__(self, output: Output, owner: str):
        self.output = output
        self.path = output.place.path(f"{FOLDER}/{output.name}.{owner}.json")
        self.gpus = self.memory = self.held = 0  # the most that was seen

    def __enter__(self) -> Meter:
        _reset()
        self.began = self.wrote = time.monotonic()
        self._write()
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def watched(self, bar: Callable) -> Callable:
        """`bar`, which also keeps what was spent until now."""

        def show(*told: Any) -> None:
            if time.monotonic() - self.wrote >= EVERY:
                self._write()
            bar(*told)

        return show

    def _write(self) -> None:
        self.wrote = time.monotonic()
        seconds, made, cuda = self.wrote - self.began, self.output, _cuda()
        helpers = [one.pid for one in multiprocessing.active_children()]
        self.gpus = max(self.gpus, cuda.device_count() if cuda and (helpers or cuda.is_initialized()) else 0)
        self.held = max([self.held, *(cuda.max_memory_allocated(i) for i in range(self.gpus if cuda else 0))])
        self.memory = max(self.memory, sum(map(_resident, ["self", *helpers])))
        step = made.step.partition(" ")[0]
        times = round(seconds, 3), round(self.gpus * seconds, 3)
        spent = Spent(made.name, step, made.key, *times, self.memory, self.held)
        try:
            files.write_text(self.path, json.dumps(asdict(spent)))
        except OSError as error:  # a number that is lost is no reason to lose the work
            log.warning("%s: what it took cannot be written (%s)", self.path, error)


def spent(place: Place, keys: set[str]) -> list[Spent]:
    """Every attempt at outputs of these keys; a file that is damaged is said, and left out."""
    folder = place.path(FOLDER)
    names = [name for name in sorted(direct.names(folder)) if name.endswith(".json")]
    found = []
    for name in names:
        text = direct.read(folder / name) or ""
        found += records.each(text.encode(), str(folder / name), **FIELDS)
    return [one for one in (Spent(**{k: told[k] for k in FIELDS}) for told in found) if one.key in keys]


def _cuda() -> Any:
    """torch.cuda where there is a device and torch is imported; None elsewhere."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None


def _reset() -> None:
    """Forget earlier peaks; where the kernel lets no process do so, the peak is that of its whole life."""
    cuda = _cuda()
    for device in range(cuda.device_count() if cuda and cuda.is_initialized() else 0):
        cuda.reset_peak_memory_stats(device)
    try:
        PEAK.write_text("5")
    except OSError as error:
        log.debug("%s: %s", PEAK, error)


def _resident(pid: object) -> int:
    """Bytes of a process that were resident at most; 0 of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        own = pid == "self"  # on a machine without /proc, where this number is in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if own else 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))

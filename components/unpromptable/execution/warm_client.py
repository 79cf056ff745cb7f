"""One process that has imported the heavy libraries and forks for every step of a local run.

kfp's local runner starts a Python process per task, and importing torch and diffusers costs it ten seconds of
a core; a step's process hands its call to this server instead. On a cluster there is no server, and a step
works in a child of its own process.
"""

from __future__ import annotations

import functools
import inspect
import json
import socket
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unpromptable.storage import attempts, place

FILE = "warm.json"  # in the run's folder: where the server listens
inside = False  # True in the server's children, which do the work themselves


def warmed(function: Callable) -> Callable:
    """Run a step's function, which takes `cell` and `store`, in the run's server or a child, and again where
    the machine fails it.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: Any) -> Any:
        if inside:
            return function(*args)
        given = signature.bind(*args).arguments

        def start(attempt: attempts.Attempt) -> Any:
            address = _address(given["store"])
            return (
                _ask(address, function, args, attempt) if address else attempts.child(function, args, attempt)
            )

        folder = place.folder(given["store"], given["cell"])
        return attempts.persist(
            function.__name__, folder, start, lambda last: attempts.within(function, args, last)
        )

    return run


def _address(store: str) -> str | None:
    note = Path(store) / FILE
    if not note.is_file():
        return None
    told = json.loads(note.read_text())
    return told["socket"] if Path(told["socket"]).exists() and Path(f"/proc/{told['pid']}").exists() else None


def _ask(address: str, function: Callable, args: tuple[Any, ...], attempt: attempts.Attempt) -> Any:
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(address)
        call = {
            "module": function.__module__,
            "function": function.__name__,
            "args": args,
            "attempt": asdict(attempt),
        }
        wire.sendall(json.dumps(call).encode() + b"\n")
        told = wire.makefile().readline()
    if not told:
        raise attempts.Fault("killed, most likely for memory", memory=True)
    return attempts.value(json.loads(told))

"""One process that has imported the heavy libraries and forks for every step of a local run.

kfp's local runner starts a Python process per task, and importing torch and diffusers costs it ten seconds of
a core; a step's process hands its call to this server instead. On a cluster there is no server, and a step
works in a child of its own process.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import socket
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unpromptable.storage import attempts, place, records

log = logging.getLogger(__name__)
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

        return persisted(function, args, given["store"], place.folder(given["store"], given["cell"]))

    return run


def persisted(function: Callable, args: tuple[Any, ...], store: str, folder: Path, step: str = "") -> Any:
    """What a function returns in the run's server or a child, and again where the machine fails it.

    folder: where attempts that failed are told, under the step's name, by default the function's.
    """

    def start(attempt: attempts.Attempt) -> Any:
        # a child of the server that asked it would wait for itself
        wire = None if inside else _reached(store)
        if wire is None:
            return attempts.child(function, args, attempt)
        with wire:
            return _ask(wire, function, args, attempt)

    conclude = lambda last: attempts.within(function, args, last)
    return attempts.persist(step or function.__name__, folder, start, conclude)


def _reached(store: str) -> socket.socket | None:
    """The wire to the run's server; None where there is none, or what is left of one that was killed."""
    note = Path(store) / FILE
    if not note.is_file():
        return None
    wire = socket.socket(socket.AF_UNIX)
    try:
        wire.connect(records.read(note, dict, socket=str)["socket"])
    except (OSError, ValueError) as error:
        wire.close()
        log.info("%s: its server does not answer (%s), so this step works alone", store, error)
        return None
    return wire


def _ask(wire: socket.socket, function: Callable, args: tuple[Any, ...], attempt: attempts.Attempt) -> Any:
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

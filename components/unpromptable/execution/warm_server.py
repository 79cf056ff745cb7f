"""One process that has imported the heavy libraries and forks for every step of a local run.

Where the machine has a GPU, steps take turns with it, since it may not hold the networks of two.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import logging
import signal
import socketserver
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unpromptable.execution import warm_client
from unpromptable.execution.warm_client import FILE
from unpromptable.models import device
from unpromptable.planning import code
from unpromptable.reporting import figures
from unpromptable.storage import attempts
from unpromptable.storage.names import replacing


def serve(store: str) -> None:
    """Listen until killed. The socket is opened first, so that callers wait for the imports instead of
    missing them.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what is opened here is closed
    with tempfile.TemporaryDirectory() as folder, _Server(f"{folder}/socket", _Handler) as server:
        note = Path(store) / FILE
        with replacing(note) as temporary:  # who finds a part of it would work alone
            temporary.write_text(json.dumps({"socket": f"{folder}/socket"}))
        try:
            _import()
            server.serve_forever()
        finally:
            note.unlink(missing_ok=True)


def _import() -> None:
    """What unlearning, sampling and scoring need; no tensor is made here, so forking is safe."""
    import diffusers
    from torchmetrics.functional.image import structural_similarity_index_measure  # noqa: F401

    figures.pyplot()
    code.whole()  # kept for all that are forked
    for name in ("UNet2DModel", "DDPMScheduler", "DDIMScheduler"):
        getattr(diffusers, name)  # diffusers imports on first access


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    request_queue_size = 64


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """In a forked child: one call of a step, its value or its traceback as one line of JSON."""
        warm_client.inside = True
        call = json.loads(self.rfile.readline())
        attempt = attempts.Attempt(**call["attempt"])
        step = getattr(importlib.import_module(call["module"]), call["function"])
        with turn(Path(self.server.server_address).with_name("turn")):
            told = attempts.answer(step, call["args"], attempt)
        self.wfile.write(json.dumps(told).encode() + b"\n")


@contextmanager
def turn(file: Path) -> Iterator[None]:
    """Inside, no other process that asks with this file is inside, where there is a GPU. One that ends, in
    whatever way, is out.
    """
    if device.best() == "cpu":
        yield
        return
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    serve(sys.argv[1])

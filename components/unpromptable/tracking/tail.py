"""A training's history sent along while it grows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unpromptable.storage import databases

from . import connection, points

log = logging.getLogger(__name__)


@contextmanager
def live(run_id: str | None, history: Path) -> Iterator[None]:
    """Send a growing history.jsonl to the named server every few seconds, beside the training; errors are
    warnings.

    Without a server the report logs everything at once into the local database.
    """
    if run_id is None or not connection.server():
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_tail, args=(run_id, history, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=10)


def _tail(run_id: str, history: Path, done: threading.Event) -> None:
    """Send new lines until told that no more come."""
    sent = 0
    try:
        client = connection.client("")
        client.update_run(run_id, status="RUNNING")
        start = client.get_run(run_id).info.start_time
        while True:
            last = done.wait(5)
            text = history.read_text() if history.exists() else ""
            lines = text[: text.rfind("\n") + 1].splitlines()[sent:]  # the last one may be half written
            points.send(client, run_id, points.curves(lines, run_id, start))
            sent += len(lines)
            if last:
                return
    except connection.errors() as error:
        log.warning("tracking: %s; the rest of the history is sent by the report", databases.line(error))

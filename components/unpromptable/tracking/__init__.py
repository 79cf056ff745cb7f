"""MLflow, and the only mlflow imports: one sweep run with a child per cell, created once, written by explicit
id; and the registry of a series of releases.

What a run should hold is on disk first (history.jsonl, row.json); `live` sends it along while training where
a server is named, and `close` brings everything up to date at the end. A server that is away is a warning,
never a stop.
"""

from .closing import close, settle
from .connection import check, client, server, uri
from .runs import PARENT, Sweep, Tracked, open_runs
from .tail import live

__all__ = [
    "PARENT",
    "Sweep",
    "Tracked",
    "check",
    "client",
    "close",
    "live",
    "open_runs",
    "server",
    "settle",
    "uri",
]

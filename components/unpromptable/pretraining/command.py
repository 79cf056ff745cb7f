"""The command line of a miniature network's training: where to write, how many steps, a line of progress now
and then.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

from unpromptable.storage import files

log = logging.getLogger(__name__)


def command(what: str, train: Callable, steps: int) -> Path:
    """Parse --out and --steps, call train(out, steps, progress=...), and return where it wrote."""
    parser = argparse.ArgumentParser(description=f"Train the miniature {what} again.")
    parser.add_argument("--out", type=files.named, required=True)
    parser.add_argument("--steps", type=int, default=steps)
    a = parser.parse_args()
    logging.basicConfig(level="INFO", format="%(message)s")
    train(a.out, a.steps, progress=lambda k, n, text: log.info("step %d/%d  %s", k, n, text))
    return a.out

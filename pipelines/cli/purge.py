"""purge: remove the pictures of a run's targets wherever the run put them, and their names where asked."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from unpromptable.storage import files

from . import running
from .options import say

if TYPE_CHECKING:
    from unpromptable.execution.purging import purge as purging
    from unpromptable.execution.purging.found import Found

KEPT = (
    "kept: rows, groups, metrics, training histories, plots of numbers, and the models, which are the"
    " product; your own files, such as folders that the experiment names, are not touched"
)


def add(verbs: Any) -> None:
    """The command's words."""
    one = verbs.add_parser("purge", help="remove the pictures of a run's targets, wherever it put them")
    where = "a run's folder, a folder of runs, or a store's address such as s3://bucket/prefix"
    one.add_argument("folder", metavar="RUN", help=where)
    alone = "only what belongs to this target; may be repeated (default: all pictures)"
    one.add_argument("--target", action="append", default=[], metavar="NAME", help=alone)
    names = "also replace the targets' names by short digests, in rows, tables, logs and MLflow"
    one.add_argument("--names", action="store_true", help=names)
    one.add_argument("--yes", action="store_true", help="do not ask")
    one.set_defaults(run=run)


def run(a: argparse.Namespace, console: Console) -> int:
    """Remove, print what went and what could not be reached; 1 where something could not.

    Raises ValueError where no run is there or nobody can be asked, OSError where a run is at work there.
    """
    before = os.umask(0o077)
    try:
        root = Path(files.mirror(a.folder)).resolve()
        codes = [_one(one, a, console) for one in _roots(root)]
    finally:
        os.umask(before)
    return max(codes)


def _roots(root: Path) -> list[Path]:
    """The run, or the runs in a folder of several, and what is left of some."""
    from unpromptable.execution.purging import nearby
    from unpromptable.planning import spec

    if files.mirrors(root):
        return [root]
    there = lambda folder: spec.planned(folder) or nearby.left(folder)
    return [root] if there(root) else [f for f in sorted(root.glob("*/")) if there(f)] or [root]


def _one(root: Path, a: argparse.Namespace, console: Console) -> int:
    from unpromptable.execution.purging import found, nearby, purge

    look = lambda: (not a.target and nearby.left(root)) or found.look(root, tuple(a.target))
    if not files.mirrors(root):
        look()  # refuses a folder without a run before a lock is made in it
    with running.alone(root):
        if busy := found.at_work(root):
            raise OSError(f"{root}: a run is at work there ({busy}); wait for it, or end it first")
        with files.afresh(root):
            asked = look()
            if not a.yes and not _agreed(asked, a.names, console):
                say(console, "nothing was removed")
                return 1
            told = purge.purge(asked, a.names, lambda one: say(console, _line(one)))
    return _ended(told, root, console)


def _agreed(asked: Found, names: bool, console: Console) -> bool:
    """Whether the person at the terminal says yes. Raises ValueError where there is none."""
    what = "all pictures" if asked.whole else f"what belongs to {', '.join(asked.targets)}"
    more = ", and the targets' names" if names else ""
    where = (asked.root / files.REMOTE).read_text() if files.mirrors(asked.root) else asked.root
    say(console, f"{where}: {what} in {len(asked.files)} files{more}; nothing brings it back")
    say(console, KEPT)
    if not sys.stdin.isatty():
        raise ValueError("nobody can be asked here; say --yes to remove without a question")
    return console.input("remove? [y/N] ").strip().lower() in ("y", "yes")


def _line(one: Any) -> str:
    return f"removed  {one.name}  {one.size:,} bytes  in {one.at}"


def _ended(told: purging.Told, root: Path, console: Console) -> int:
    total = sum(one.size for one in told.removed)
    say(console, f"removed {len(told.removed)} things, {total / 2**20:.1f} MiB; {KEPT}")
    for one in told.missed:
        say(console, f"not reached: {one.what}: {one.why}")
    if told.noted:
        say(console, f"noted in {files.address(root / 'purged.json')}")
    return 1 if told.missed else 0

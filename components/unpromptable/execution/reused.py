"""What was made under a key serves a cell of another name, and another run of the same inputs: a line of
Table III is one of Table IV, and is trained once.

A key is a digest of settings, input files and code, so equal keys mean equal results.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from unpromptable.planning.spec import Run
from unpromptable.storage import files

log = logging.getLogger(__name__)
OWN = (
    "row.json",
    ".row.json*",
    "cell.json",
    "decision.json",
    ".decision.json*",
    "stopped.json",
    ".stopped.json*",
    "failed.json",
    "page.*",
    ".page.*",
    "figures",
    "*.lock",
    "*.lease-*",
    "*.part*",
    "*.tmp-*",
)  # each experiment's, with its names in them


def renamed(run: Run, store: str) -> None:
    """Copy to each cell without a folder what the folder of another name holds under its key: its own, where
    the cell was renamed. Not in an object store, from which all of it would be fetched.
    """
    home = Path(store) / "cells"
    if "://" in files.address(home) or not home.is_dir():
        return
    there = sorted(p for p in home.iterdir() if p.is_dir())
    for spec in (s for s in run.cells if not (Path(store) / s.folder).exists()):
        key = spec.keys["unlearned"]
        alike = [p for p in there if p.name.endswith(f"-{key[:8]}")]
        made = next((p for p in alike if files.finished(p / "unlearned", key)), None)
        try:
            if made and copied(made, Path(store) / spec.folder):
                log.info("%s: made already, taken from cells/%s", spec.folder, made.name)
        except OSError as error:  # another pod is at work there
            log.warning("%s: not taken from %s (%s), so it is made anew", spec.folder, made, error)


def copied(source: Path, target: Path) -> bool:
    """Copy a cell's folder, or that of what all cells share, without what names its experiment. False where
    there is none, or the target is there already.
    """
    if target.exists() or not source.is_dir():
        return False
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part, ignore=shutil.ignore_patterns(*OWN))
    part.rename(target)
    return True

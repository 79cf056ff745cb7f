"""early: how many images a finished sweep would have needed to know its Pareto set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unpromptable.storage import files

from .options import short


def add(verbs: Any) -> None:
    """The command's words."""
    parser = verbs.add_parser("early", help="how many images a finished sweep would have needed")
    parser.add_argument("run_folder", type=files.named, metavar="RUN", help="a run's folder")
    parser.set_defaults(run=run)


def run(a: argparse.Namespace, console: Console) -> int:
    """Print the images of each line. Raises ValueError where no finished run is there."""
    from unpromptable.planning import shards
    from unpromptable.planning import spec as planned
    from unpromptable.reporting import early, rows

    store = Path(a.run_folder)
    if not planned.planned(store):
        raise ValueError(f"{short(store)}: no run is there; name the folder of a run")
    found = planned.read(store)
    lines = early.of_run(store, found.experiment, rows.of_all(found, str(store)))
    stops, whole = early.replay(lines, shards.prefixes(found.experiment.sampling)), early.front(lines)
    kept = early.front([line for line in lines if not stops[line.name].by])
    table = Table(title="Images that each would have needed")
    for name in ("Method", "SSCD", "LPIPS", "SSIM", "images", "", "Pareto set"):
        table.add_column(name, justify="left" if name in ("Method", "") else "right")
    for line in lines:
        stop, means = stops[line.name], line.means()
        why = f"dominated by {stop.by}" if stop.by else "" if line.forgets else "does not forget"
        numbers = (f"{v:.3f}" for v in (line.sscd, means["lpips"], means["ssim"]))
        table.add_row(
            escape(line.name), *numbers, str(stop.images), escape(why), "✓" if line.name in whole else ""
        )
    console.print(table)
    used, images = sum(s.images for s in stops.values()), sum(len(line.values["lpips"]) for line in lines)
    same = "the same" if kept == whole else "another"
    console.print(f"{used} of {images} images ({used / images:.0%}) give {same} Pareto set", highlight=False)
    return 0

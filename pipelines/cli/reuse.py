"""What one experiment has made serves the next of the same inputs: a line of Table III is one of Table IV,
and is trained once.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from unpromptable.planning import plan
from unpromptable.planning.spec import Run
from unpromptable.storage import place

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


def bring(out: Path, name: str, resolved: plan.Plan, console: Console) -> None:
    """Copy into `out`/`name` what its neighbours in `out` hold under the same keys, and say so.

    A key is a digest of settings, input files and code, so equal keys mean equal results. What is there
    already stays.
    """
    for other in sorted(out.glob("*/experiment.json")):
        ours, theirs = resolved.run(), Run.from_text(other.read_text(errors="replace"), where=str(other))
        if theirs.shared.keys == ours.shared.keys and other.parent.name != name:
            alike = lambda a, b: a.keys["unlearned"] == b.keys["unlearned"]
            cells = [(b.folder, a.folder) for a in ours.cells for b in theirs.cells if alike(a, b)]
            pairs = [(place.SHARED, place.SHARED), *cells]
            for source, target in pairs:
                if _copy(other.parent / source, out / name / target):
                    console.print(
                        f"{name}: {target} is made already, taken from {other.parent.name}/{source}",
                        highlight=False,
                        soft_wrap=True,
                        markup=False,
                    )


def _copy(source: Path, target: Path) -> bool:
    if target.exists() or not source.is_dir():
        return False
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part, ignore=shutil.ignore_patterns(*OWN))
    part.rename(target)
    return True

"""What one experiment of the paper has made serves the next of the same inputs."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from unpromptable.execution import reused
from unpromptable.planning import plan
from unpromptable.planning.spec import Run
from unpromptable.storage import place


def bring(out: Path, name: str, resolved: plan.Plan, console: Console) -> None:
    """Copy into `out`/`name` what its neighbours in `out` hold under the same keys, and say so.

    What is there already stays.
    """
    for other in sorted(out.glob("*/experiment.json")):
        ours, theirs = resolved.run(), Run.from_text(other.read_text(errors="replace"), where=str(other))
        if theirs.shared.keys == ours.shared.keys and other.parent.name != name:
            alike = lambda a, b: a.keys["unlearned"] == b.keys["unlearned"]
            cells = [(b.folder, a.folder) for a in ours.cells for b in theirs.cells if alike(a, b)]
            pairs = [(place.SHARED, place.SHARED), *cells]
            for source, target in pairs:
                if reused.copied(other.parent / source, out / name / target):
                    console.print(
                        f"{name}: {target} is made already, taken from {other.parent.name}/{source}",
                        highlight=False,
                        soft_wrap=True,
                        markup=False,
                    )

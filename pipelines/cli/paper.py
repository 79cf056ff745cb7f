"""python -m pipelines paper: every experiment of the paper one after another, and one page of all tables,
figures and claims.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from . import local, reuse
from .options import overrides

HERE = Path(__file__).parents[1]
ALONE = ("demo", "several", "distilled", "equal", "rival", "why")  # not of the paper's page


def add(verbs: Any) -> None:
    """The command's words."""
    one = verbs.add_parser(
        "paper", help="run every table and figure of the paper, and hold its claims against the results"
    )
    one.add_argument("--world", default="miniature", help="miniature or paper (default miniature)")
    one.add_argument(
        "--out",
        help="folder of the page; a subfolder per experiment (default runs/paper, --full: runs/paper-full)",
    )
    one.add_argument(
        "--only",
        nargs="*",
        default=[],
        metavar="EXPERIMENT",
        help="run these only; the page shows all that is there",
    )
    one.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting in every experiment",
    )
    one.add_argument(
        "--full",
        action="store_true",
        help="six targets instead of three, and more images where claims are open; stopped, it goes on",
    )
    one.add_argument("--threads", type=int, default=0, help="threads per step, as for local")
    one.set_defaults(run=run)


def names() -> list[str]:
    """The experiments that ship, but those that are run on their own."""
    return sorted(p.stem for p in (HERE / "experiments").glob("*.yaml") if p.stem not in ALONE)


def asked(a: argparse.Namespace, name: str, out: Path) -> argparse.Namespace:
    """The words of `local` for one experiment; in full where it says what that is in this world."""
    from unpromptable.planning import plan

    full = ["full=true"] if a.full and plan.has_full(name, a.world) else []
    return argparse.Namespace(
        experiment=name, world=a.world, set=[*a.set, *full], out=str(out / name), threads=a.threads
    )


def run(a: argparse.Namespace, console: Console) -> int:
    """Run them, each in a folder of its own, and write the page after each. Finished ones are not run again.

    Raises ValueError, before any runs, for an experiment that does not ship or cannot be planned. A failed
    experiment lets the others run; the exit code tells.
    """
    from unpromptable.paper import claims, overview, theory
    from unpromptable.planning import plan

    known, out = names(), Path(a.out or ("runs/paper-full" if a.full else "runs/paper")).resolve()
    wrong = [n for n in a.only if n not in known]
    if wrong:
        name, choice = wrong[0], f"choose from {', '.join(known)}"
        why = f"not on this page (`local {name}` runs it)" if name in ALONE else "no such experiment"
        raise ValueError(f"--only {name}: {why}; {choice}")
    runs = {name: asked(a, name, out) for name in a.only or known}
    plans = {name: plan.resolve(name, a.world, overrides(one)) for name, one in runs.items()}
    (out / "theory").mkdir(parents=True, exist_ok=True)
    codes = {"theory": theory.main(["--out", str(out / "theory")])}
    for name, one in runs.items():
        began = time.monotonic()
        reuse.bring(out, name, plans[name], console)
        codes[name] = local.run(one, console)
        page, verdicts = overview.write(out, known, a.world)
        console.print(
            f"{name} took {(time.monotonic() - began) / 60:.1f} minutes", highlight=False, markup=False
        )
    console.print(claims.summary(verdicts))
    console.print(f"page     {page}", highlight=False, soft_wrap=True, markup=False)
    return 1 if any(codes.values()) else 0

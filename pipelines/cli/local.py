"""local: run an experiment on this machine."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from unpromptable.planning import reading

from . import running
from .options import experiment, overrides, short

if TYPE_CHECKING:
    from unpromptable.planning import plan

LEAST_DISK = 1 << 30  # bytes that must be free before a run starts


def add(verbs: Any) -> None:
    """The command's words."""
    parser = verbs.add_parser("local", help="run an experiment on this machine", parents=[experiment()])
    parser.add_argument(
        "--out", help="folder of the run (default runs/<name>); the same folder continues or repeats a run"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        help="threads per step (default half the cores, as two steps run at a time)",
    )
    parser.set_defaults(run=run)


def run(a: argparse.Namespace, console: Console) -> int:
    """Run an experiment on this machine: check it, run the DAG in processes of its own, show progress, print
    the table.
    """
    from unpromptable import tracking
    from unpromptable.planning import plan

    sets = overrides(a)
    text = reading.write(plan.read_yaml(a.experiment))
    resolved = plan.resolve(text, a.world, sets)
    out = Path(a.out or f"runs/{resolved.experiment.name}").resolve()
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if free < LEAST_DISK:
        raise OSError(
            f"--out {out}: {free >> 20} MiB free on that disk, at least {LEAST_DISK >> 20} are needed; free"
            " some space or choose another folder"
        )
    if a.threads < 0:
        raise ValueError(f"--threads is {a.threads}; give 1 or more, or leave it out")
    tracking.check(str(out))
    with running.alone(out) as lock:
        title = escape(resolved.experiment.title or resolved.experiment.name)
        where = escape(f"world {resolved.experiment.world}, in {short(out)}")
        console.print(f"[bold]{title}[/]  {len(resolved.cells)} cells, {where}", soft_wrap=True)
        code, failed = _drive(out, text, a, sets, _pending(out, resolved), lock, console)
    return _finish(out, code, failed, console)


def _drive(
    out: Path,
    text: str,
    a: argparse.Namespace,
    sets: dict[str, Any],
    pending: bool,
    lock: IO[str],
    console: Console,
) -> tuple[int, list[dict[str, Any]]]:
    from unpromptable.storage import progress

    threads = str(a.threads or max(1, (os.cpu_count() or 2) // 2))  # kfp runs two loop items at a time
    told = {"experiment": text, "world": a.world, "overrides": json.dumps(sets), "store": str(out)}
    words = ["pipelines.cli.local_runner", str(out)]
    watch = lambda child: progress.watch(str(out), child, console)
    given = json.dumps({**told, "pending": pending})
    return running.drive(words, given, lock, threads, out / "log.txt", watch, console.print)


def _pending(out: Path, resolved: plan.Plan) -> bool:
    rows = (s.output(out, "score", "row.json", "row") for s in resolved.run().cells)
    return any(not row.finished() for row in rows)


def _finish(out: Path, code: int, failed: list[dict], console: Console) -> int:
    from unpromptable.planning import spec as planned
    from unpromptable.reporting.row import read_rows
    from unpromptable.storage import place

    rows = read_rows(out / "rows.json") if (out / "rows.json").is_file() else []
    if any(r.ended for r in rows):
        from pipelines.cli import result_table

        console.print(result_table.table(rows, planned.read(out).experiment.paper))
    told = dict.fromkeys(
        ("" if one["cell"] == place.shared(out).name else one["cell"], one["step"], one["text"])
        for one in failed
    )
    for cell, step, text in told:
        console.print(
            f"failed: {cell} {step}: {text}".replace("  ", " "),
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if (out / "report.html").is_file():
        console.print(f"report   {short(out / 'report.html')}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"log      {short(out / 'log.txt')}", highlight=False, soft_wrap=True, markup=False)
    broken = code != 0 or not rows or not all(r.ended for r in rows)
    if broken and not failed:
        tail = (out / "log.txt").read_text().splitlines()[-15:]
        print(
            "\n".join(["error: the run failed outside its cells; the log ends with", *tail]), file=sys.stderr
        )
    return 2 if any(one.get("bad") for one in failed) else 1 if broken else 0

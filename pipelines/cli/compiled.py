"""compile: write the DAG that a cluster takes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from .options import COMPILED, HOTFIX, short


def add(verbs: Any) -> None:
    """The command's words."""
    parser = verbs.add_parser("compile", help="write the compiled pipeline for a cluster")
    parser.add_argument("--out", default=str(COMPILED))
    parser.add_argument(
        "--retries",
        type=int,
        default=2,
        help="of a lost pod, and within it of a step that the machine failed (default 2)",
    )
    parser.add_argument("--timeout-hours", type=float, default=24.0, help="of one pod (default 24)")
    parser.add_argument(
        "--start-minutes", type=float, default=30.0, help="of the first pods, image and all (default 30)"
    )
    parser.add_argument(
        "--shared-memory", default="1Gi", help="/dev/shm of the steps that may use a GPU (default 1Gi)"
    )
    parser.add_argument(
        "--no-volume", action="store_true", help="mount no volume; the store must then be an object store"
    )
    parser.add_argument("--parallelism", type=int, default=8, help="cells at a time (default 8)")
    parser.add_argument("--pods", type=int, default=2, help="that share the images of one model (default 2)")
    queue = "Kueue's LocalQueue in which every step's pod waits for its quota (default: none)"
    parser.add_argument("--queue", default="", metavar="NAME", help=queue)
    parser.set_defaults(run=run)


def run(a: argparse.Namespace, console: Console) -> int:
    """Write the compiled DAG that a cluster takes."""
    from kfp import compiler

    from pipelines import ablation_sweep, hotfix
    from pipelines.pods import Fixed

    volume = not a.no_volume
    fixed = Fixed(
        a.retries,
        a.timeout_hours,
        a.shared_memory,
        volume,
        a.parallelism,
        a.pods,
        start_minutes=a.start_minutes,
        within=a.retries,
        queue=a.queue,
    )
    for built, to in ((ablation_sweep, Path(a.out)), (hotfix, Path(a.out).with_name(HOTFIX.name))):
        compiler.Compiler().compile(built.build(fixed), str(to))
        console.print(f"wrote {short(to)}", highlight=False, soft_wrap=True, markup=False)
    return 0

"""python -m pipelines plan EXPERIMENT: a dry run. What a run would do and cost, without its data, networks or
a GPU.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unpromptable.planning import cost, explain, memory, pinned, plan
from unpromptable.planning.experiment import Cell, to_json
from unpromptable.planning.reading import shown
from unpromptable.planning.settings import Choice, Training
from unpromptable.planning.shards import shards

from . import memory_table
from .options import experiment, overrides

SHARED = ("world", "real", "model", "sampling", "injection", "networks")
TRAINING = ("steps", "lr", "batch", "seed")


def add(verbs: Any) -> None:
    """The command's words."""
    text = "a dry run: cells, settings, seeds, shards, operations, GPU hours, memory"
    one = verbs.add_parser("plan", help=text, parents=[experiment()])
    one.add_argument(
        "--tflops",
        type=float,
        default=cost.RATE,
        help=(
            f"TFLOP/s at which a GPU works (default {cost.RATE:g}, an H100's TF32 peak; practice is two to"
            " four times slower)"
        ),
    )
    one.add_argument(
        "--images-per-shard", type=int, default=0, help="as for submit; 0 leaves the shards to the experiment"
    )
    one.add_argument("--json", action="store_true", help="print the plan as JSON")
    one.add_argument(
        "--explain",
        metavar="KEY",
        help="print a setting's value (or a block's), such as training.lr, and which layer said it; no plan",
    )
    one.set_defaults(run=run)


def run(a: argparse.Namespace, console: Console) -> int:
    """Print the plan. Raises ValueError for a wrong setting or rate."""
    if a.explain is not None:
        return _explain(a, console)
    if a.tflops <= 0:
        raise ValueError(f"--tflops is {a.tflops:g}; it must be above 0")
    resolved = plan.resolve(a.experiment, a.world, overrides(a), inputs=False)
    pieces, steps = shards(resolved.experiment.sampling, a.images_per_shard), list(cost.steps(resolved))
    peaks = list(memory.peaks(resolved, a.images_per_shard))
    if a.json:
        print(
            json.dumps(
                {
                    "experiment": to_json(resolved.experiment),
                    "cells": [to_json(c) for c in resolved.cells],
                    "shards": pieces,
                    "steps": [{**asdict(s), "gpu_hours": s.hours(a.tflops)} for s in steps],
                    "tflops": a.tflops,
                    "before_a_run": pinned.fault(resolved.experiment.networks),
                    "memory": memory_table.plain(peaks),
                },
                indent=1,
            )
        )
        return 0
    wide = _wide(console)
    title = escape(resolved.experiment.title or resolved.experiment.name)
    wide.print(
        f"[bold]{title}[/]  world {resolved.experiment.world}, {cost.number(len(resolved.cells), 'cell')},"
        f" {cost.number(len(resolved.targets()), 'forget image')}",
        highlight=False,
    )
    for table in (settings(resolved, pieces), cells(resolved), operations(steps, a.tflops)):
        wide.print(table, markup=False)
    wide.print(note(steps, a.tflops), highlight=False, markup=False)
    wide.print(memory_table.table(peaks), markup=False)
    wide.print(memory_table.note(peaks), highlight=False, markup=False)
    if told := pinned.fault(resolved.experiment.networks):
        wide.print(f"Before a run: {told}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    return 0


def _wide(console: Console) -> Console:
    return console if console.is_terminal else Console(file=console.file, width=160)


def _explain(a: argparse.Namespace, console: Console) -> int:
    """Print which layer said a setting, once for the cells that agree."""
    found = explain.explain(a.experiment, a.world, overrides(a), a.explain)
    if a.json:
        print(json.dumps([asdict(s) for s in found], indent=1))
        return 0
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("setting", "value", "said by", "in cells", "about the setting"):
        table.add_column(name, overflow="fold")
    for s in found:
        table.add_row(s.key, shown(s.value), s.layer, ", ".join(s.cells) or "all", s.about)
    _wide(console).print(table, markup=False)
    return 0


def settings(resolved: plan.Plan, pieces: list[dict]) -> Table:
    """What all cells share, seeds and shards included."""
    table = Table(title="Shared by all cells", box=box.SIMPLE_HEAD, title_justify="left", show_header=False)
    values = to_json(resolved.experiment)
    for key in SHARED:
        value = values[key]
        table.add_row(
            key,
            (
                ", ".join(f"{k} {v}" for k, v in value.items() if v not in ("", {}))
                if isinstance(value, dict)
                else str(value or "the model's own")
            ),
        )
    s, test = resolved.experiment.sampling, resolved.experiment.injection
    table.add_row(
        "seeds",
        f"images {s.first_seed}..{s.first_seed + s.images - 1}; injected and chain noise ({test.seed}, draw"
        f" 0..{test.draws - 1}); updates {', '.join(sorted({str(c.training.seed) for c in resolved.cells}))}",
    )
    table.add_row(
        "shards",
        f"{len(pieces)} per model: "
        + ", ".join(f"{p['first']}..{p['first'] + p['count'] - 1}" for p in pieces),
    )
    return table


def cells(resolved: plan.Plan) -> Table:
    """A line per cell with every setting that cells may differ in; cells that differ in their targets alone
    share one.
    """
    table = Table(title="Cells", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("cell", "method", "editor", *TRAINING, "other training settings", "forget"):
        table.add_column(name)
    default = to_json(Training())
    groups: dict[str, list[Cell]] = {}
    for cell in resolved.cells:
        groups.setdefault(
            json.dumps(
                [cell.group or cell.name, to_json(cell.method), to_json(cell.editor), to_json(cell.training)]
            ),
            [],
        ).append(cell)
    for alike in groups.values():
        cell, t = alike[0], to_json(alike[0].training)
        other = ", ".join(f"{k} {v}" for k, v in t.items() if k not in TRAINING and v != default[k])
        name = cell.name if len(alike) == 1 else f"{cell.group}, {len(alike)} cells"
        table.add_row(
            name,
            _choice(cell.method),
            _choice(cell.editor),
            *(f"{t[k]:g}" for k in TRAINING),
            other or "the defaults",
            "; ".join(" then ".join(c.forget) for c in alike),
        )
    return table


def _choice(choice: Choice) -> str:
    """A method or editor with every setting that it runs with, defaults included."""
    return ", ".join([choice.name, *(f"{k} {v}" for k, v in asdict(choice.made).items())])


def operations(steps: list[cost.Step], rate: float) -> Table:
    """Operations and GPU hours of each step, alike ones of several cells on one line."""
    table = Table(title="Operations", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("step", "of", "work", "FLOP each", "times", "FLOP", f"GPU hours at {rate:g} TFLOP/s"):
        table.add_column(name, justify="left" if name in ("step", "of", "work") else "right")
    groups: dict[tuple, list[cost.Step]] = {}
    for s in steps:
        groups.setdefault((s.step, s.cell == "", s.work, s.flop), []).append(s)
    for (step, shared, work, flop), alike in groups.items():
        of = "the base model" if shared else alike[0].cell if len(alike) == 1 else f"{len(alike)} cells"
        total = None if flop is None else flop * len(alike)
        table.add_row(
            step,
            of,
            work,
            amount(flop),
            str(len(alike)),
            amount(total),
            "?" if total is None else f"{total / (rate * 3.6e15):.3g}",
        )
    return table


def note(steps: list[cost.Step], rate: float) -> str:
    """The sum, and what it leaves out."""
    total = sum(s.flop for s in steps if s.flop is not None)
    text = (
        f"In all {amount(total)}FLOP: {total / (rate * 3.6e15):.3g} GPU hours at {rate:g} TFLOP/s. Counted,"
        " not timed: expect two to four times the hours at a peak rate."
    )
    missing = sorted({s.step for s in steps if s.flop is None})
    return text + (
        f" Not counted, since the operations of the networks are not known here: {', '.join(missing)}."
        if missing
        else ""
    )


def amount(flop: float | None) -> str:
    """A number of operations with its prefix."""
    if flop is None:
        return "?"
    for size, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if flop >= size:
            return f"{flop / size:.3g} {prefix}"
    return f"{flop:.0f} "

"""How many runs a sweep takes on Kubeflow: what one holds, from the records that Argo would keep of it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from pipelines.backend import argo, driver

from .options import COMPILED, experiment, overrides

WORKFLOW = 1 << 20  # bytes of Argo's object: its limit, which is etcd's
ARGUMENT = 128 << 10  # bytes of one argument, or of one variable of a pod: Linux's limit
FILL = 2 / 3  # of these is used; a retried pod is a node more, and names may be longer
SECONDS = 480 / 36  # of a sweep with nothing to do, measured, by the pods of it that waited for each other


def sweep(package: Path | str, arguments: dict[str, Any], cells: list[str]) -> argo.Size:
    """The size of one run of the ablation sweep, of these cells' ids."""
    outputs = {"plan": cells, "prepare": f"{cells[0].partition('/')[0]}/shared"}
    return argo.measure(package, arguments, outputs)


def fits(one: argo.Size) -> bool:
    """Whether the engine holds such a run, with room for retries."""
    return one.total <= FILL * WORKFLOW and one.argument <= FILL * ARGUMENT


def runs(package: Path | str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """The arguments of every run that a sweep is submitted as: its own, and which part of the cells it has.

    Raises ValueError where the engine cannot hold it, or the pipeline was compiled by an earlier version.
    """
    from unpromptable.execution import parts
    from unpromptable.planning import plan

    known = driver.read(package)[0]["root"]["inputDefinitions"]["parameters"]
    for name in ("part", "single_gpu"):
        if name not in known:
            why = f"of another version, it takes no `{name}`"
            raise ValueError(f"--package {package}: {why}; compile it again")
    sets = json.loads(arguments["overrides"])
    resolved = plan.resolve(arguments["experiment"], arguments["world"], sets, inputs=False)
    number, _ = divide(package, arguments, identities(resolved))
    return [{**arguments, "part": word} for word in parts.words(number, uuid.uuid4().hex[:6])]


def divide(package: Path | str, arguments: dict[str, Any], cells: list[str]) -> tuple[int, argo.Size]:
    """How many runs a sweep of these cells takes, and the size of the largest."""
    number = -(-len(cells) // most(package, arguments, cells))
    return number, sweep(package, arguments, _longest(cells)[: -(-len(cells) // number)])


def most(package: Path | str, arguments: dict[str, Any], cells: list[str]) -> int:
    """How many cells one run of the sweep may have. Raises ValueError where not even one fits."""
    longest = _longest(cells)
    few, more = (sweep(package, arguments, (longest * 16)[:n]).total for n in (4, 16))
    guess = int((FILL * WORKFLOW - few) / ((more - few) / 12)) + 5
    number = max(1, min(len(longest), guess))
    while number and not fits(sweep(package, arguments, longest[:number])):
        number -= 1
    if not number:
        one = sweep(package, arguments, longest[:1])
        held = f"{one.total} bytes for Argo and an argument of {one.argument}"
        allowed = f"{FILL * WORKFLOW:.0f} and {FILL * ARGUMENT:.0f} are allowed"
        raise ValueError(
            f"experiment: with its text a run of one cell is {held}, {allowed}; "
            "put it into the image and give its name"
        )
    return number


def identities(resolved: Any) -> list[str]:
    """The ids that `plan` will give the cells."""
    run = resolved.run()
    return [run.id(spec) for spec in run.cells]


def _longest(cells: list[str]) -> list[str]:
    return sorted(cells, key=len, reverse=True)


def add(verbs: Any) -> None:
    """The command's words."""
    text = "nodes, pods and bytes of a sweep on Kubeflow, and how many runs it takes"
    one = verbs.add_parser("size", help=text, parents=[experiment()])
    one.add_argument("--cells", type=int, nargs="*", default=[], help="for sweeps of so many cells instead")
    one.add_argument("--package", default=str(COMPILED), help="the compiled pipeline")
    one.set_defaults(run=run)


def run(a: Any, console: Any) -> int:
    """Print a line per number of cells. Raises ValueError where a sweep cannot be held."""
    from unpromptable.planning import plan, reading

    if any(n < 1 for n in a.cells):
        raise ValueError(f"--cells {min(a.cells)}: a sweep has at least one cell")
    given = plan.read_yaml(a.experiment)
    sets = overrides(a)
    resolved = plan.resolve(a.experiment, a.world, sets, inputs=False)
    arguments = {"experiment": reading.write(given), "world": a.world}
    arguments["overrides"] = json.dumps(sets)
    ids = identities(resolved)
    table = _table()
    for number in a.cells or [len(ids)]:
        parts, one = divide(a.package, arguments, (ids * -(-number // len(ids)))[:number])
        words = (f"{one.total / 1024:.0f}", f"{one.argument / 1024:.1f}", f"{one.path * SECONDS / 60:.1f}")
        line = (number, parts, one.nodes, one.pods, one.steps, *words)
        table.add_row(*map(str, line))
    console.print(table)
    console.print(f"Argo holds 1024 KB, an argument 128 KB; {FILL:.0%} are used, the rest is for retries.")
    console.print("Wait: minutes of a run with nothing to do.")
    return 0


def _table() -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("cells", "runs", "nodes of one", "pods", "steps", "KB", "argument", "wait"):
        table.add_column(name, justify="right", no_wrap=True)
    return table

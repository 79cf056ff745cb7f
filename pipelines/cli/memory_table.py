"""What each step of a plan holds at most, beside what its pod asks for where nothing else is said."""

from __future__ import annotations

from math import isnan
from typing import Any

from rich import box
from rich.table import Table

from pipelines.pods import Fixed
from unpromptable.planning.memory import Peak, gib

HEAVY = "8Gi"  # the pipeline's argument `memory`
ABOUT = (
    "Counted from shapes, not measured. With a GPU its memory holds the networks. Pods of networks ask for"
    " what `submit --memory` says."
)


def table(peaks: list[Peak]) -> Table:
    """A line per step; of cells that need the same, one line."""
    made = Table(title="Memory at most", box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left")
    for name in ("step", "of", "pictures", "networks", "pod without a GPU", "pod with one", "asked for"):
        made.add_column(name, justify="left" if name in ("step", "of") else "right")
    groups: dict[tuple[str, ...], list[Peak]] = {}
    for p in peaks:
        told = map(gib, (p.pictures, p.network, p.host(0), p.host(1)))
        groups.setdefault((p.step, "cells" if p.cell else "", *told), []).append(p)
    for (step, cells, *needed), alike in groups.items():
        of = alike[0].cell if len(alike) == 1 else f"{len(alike)} {cells}"
        made.add_row(step, of, *needed, asked(alike[0]))
    return made


def asked(peak: Peak) -> str:
    """What a step's pod asks for where nothing else is said."""
    return Fixed().light_memory if peak.light else HEAVY


def note(peaks: list[Peak]) -> str:
    """Where that is too little, and what the numbers are."""
    bytes_of = lambda text: float(text.removesuffix("Gi")) * 2**30
    small = lambda gpus: dict.fromkeys(p.step for p in peaks if p.host(gpus) > bytes_of(asked(p)))
    told = {"without a GPU": ", ".join(small(0)), "with one": ", ".join(small(1))}
    short = "; ".join(f"{where}: {steps}" for where, steps in told.items() if steps)
    return f"{f'Too small {short}. ' if short else ''}{ABOUT}"


def plain(peaks: list[Peak]) -> list[dict[str, Any]]:
    """The same as plain values, in bytes; None where they are not known."""
    known = lambda value: None if isnan(value) else value
    return [
        {
            "step": p.step,
            "cell": p.cell,
            "pictures": known(p.pictures),
            "networks": known(p.network),
            "pod": {"cpu": known(p.host(0)), "gpu": known(p.host(1))},
        }
        for p in peaks
    ]

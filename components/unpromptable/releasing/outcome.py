"""What a request came to, as a person looks at it: every attempt's gates, and pictures before and after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import data
from unpromptable.reporting import veil
from unpromptable.reporting.row import read_rows

from . import certificate, gates

SHOWN, SIDE = 4, 512  # draws in a picture, and the pixels a side to which it grows


@dataclass(frozen=True)
class Pair:
    """The same draws before and after, two pictures of one size, uint8 (H, W, 3)."""

    title: str
    before: np.ndarray
    after: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """A finished request: what it came to (`certificate.RELEASED` ...), the best attempt, what was judged."""

    outcome: str
    attempt: str  # empty where nothing had to be forgotten
    findings: dict[str, list[gates.Finding]]  # by attempt
    pairs: tuple[Pair, ...]


def read(folder: Path, how: str = "show") -> Outcome:
    """What lies in a request's folder. how: what is seen of the targets, see `reporting.veil`.

    Raises FileNotFoundError where no certificate lies there.
    """
    told = _told(folder)
    findings = {name: _findings(found) for name, found in told["attempts"].items()}
    pairs = _pairs(folder / "run", told["attempt"], how)
    return Outcome(told["outcome"], told["attempt"], findings, pairs)


def came_to(folder: Path) -> str:
    """What a request came to (`certificate.RELEASED` ...), without its numbers and pictures."""
    return str(_told(folder)["outcome"])


def _told(folder: Path) -> dict[str, Any]:
    path = folder / "release" / certificate.FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no certificate, so the request was not answered")
    return dict(json.loads(path.read_bytes()))


def _findings(told: list[dict[str, Any]]) -> list[gates.Finding]:
    return [gates.Finding(**one) for one in told]


def _pairs(run: Path, attempt: str, how: str) -> tuple[Pair, ...]:
    """The draws of each target, and samples of none; empty where nothing was drawn, or all was purged."""
    if not attempt:
        return ()
    [row] = [r for r in read_rows(run / "rows.json") if r.name == attempt]
    before, after = run / "shared" / "before.safetensors", run / row.folder / "after.safetensors"
    if not before.is_file() or not after.is_file():
        return ()
    pairs = [("samples", "Other pictures, drawn from the same seeds", "show")]
    if how != "omit":
        names = [s.target for s in row.surrogates]
        titles = [(f"injected/{t}", f"Drawn from the noise of picture {n}") for n, t in enumerate(names, 1)]
        pairs = [(*one, how) for one in titles if data.peek(after, one[0])[0] is not None] + pairs
    drawn = lambda path, name, kind: _grid(veil.veiled(data.first(path, name, SHOWN), kind))
    return tuple(Pair(title, *(drawn(path, name, k) for path in (before, after))) for name, title, k in pairs)


def _grid(images: np.ndarray) -> np.ndarray:
    """Pictures (N, H, W, 3) in two columns, small ones enlarged by whole pixels."""
    rows = [np.concatenate([*images[k : k + 2]], 1) for k in range(0, len(images) - len(images) % 2, 2)]
    grid = np.concatenate(rows, 0) if rows else images[0]
    factor = max(1, SIDE // grid.shape[1])
    return grid.repeat(factor, 0).repeat(factor, 1)

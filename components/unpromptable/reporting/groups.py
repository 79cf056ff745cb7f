"""Rows that differ only in their targets, as one line: the mean over targets and its 95 % interval over
them.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from .rows import scalars


def collect(
    rows: list[dict[str, Any]], paper: list[dict[str, Any]] | tuple[dict[str, Any], ...] = ()
) -> list[dict[str, Any]]:
    """One line per group in order of first use, shaped like a row; a row of its own group is a line as it is.

    A line also has `members` (names of its rows), `finished` (how many of them), `each` (its metrics' means
    by target), and `paper`, the paper's row of that name.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(
            json.dumps([row.get("group") or "", *_settings(row).items()], default=str), []
        ).append(row)
    known = {p["name"]: p for p in paper}
    lines = [_line(members) for members in found.values()]
    return [{**line, "paper": known.get(line["name"])} for line in lines]


def grouped(lines: list[dict[str, Any]]) -> bool:
    """Whether any line stands for more than one row."""
    return any(len(line["members"]) > 1 for line in lines)


def member(lines: list[dict[str, Any]], row: dict[str, Any]) -> dict[str, Any]:
    """The line that stands for a row."""
    return next(line for line in lines if row["name"] in line["members"])


def short(names: list[str]) -> list[str]:
    """The names without the words that all of them begin with: the values of a sweep over one setting."""
    words = len(os.path.commonprefix([n.split() for n in names])) if len(names) > 1 else 0
    return [" ".join(n.split()[words:]) or n for n in names]


def _line(members: list[dict[str, Any]]) -> dict[str, Any]:
    names, done = [m["name"] for m in members], [m for m in members if m["status"] == "done"]
    each = {m["settings"].get("forget", ""): scalars(m) for m in done}
    shared = {
        "members": names,
        "finished": len(done),
        "targets": [m["settings"].get("forget", "") for m in members],
        "each": each,
    }
    if len(members) == 1:
        return {**members[0], **shared}
    first = (done or members)[0]
    name = (
        first.get("group")
        or " ".join(os.path.commonprefix([n.split() for n in names])).strip(" ,")
        or names[0]
    )
    keys = [k for k, v in first.items() if isinstance(v, dict) and "mean" in v]
    values = {k: _over([m[k]["mean"] for m in done]) for k in keys if all(m.get(k) for m in done)}
    error = None if done else "; ".join(dict.fromkeys(str(m["error"]) for m in members))
    seconds = {
        k: float(np.mean([m["seconds"][k] for m in done]))
        for k in first.get("seconds", {})
        if all(k in m["seconds"] for m in done)
    }
    return {
        **first,
        "name": name,
        "status": "done" if done else "failed",
        "error": error,
        "settings": _settings(first),
        "seconds": seconds,
        "surrogates": [s for m in done for s in m.get("surrogates", ())],
        **values,
        **shared,
    }


def _over(values: list[float]) -> dict[str, Any]:
    """Mean with Student's 95 % interval over targets; one target's value has none."""
    from scipy.stats import t

    mean, n = float(np.mean(values)), len(values)
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else None
    return {
        "mean": mean,
        "low": None if half is None else mean - half,
        "high": None if half is None else mean + half,
        "n": n,
    }


def _settings(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row["settings"].items() if k != "forget"}

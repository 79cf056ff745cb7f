"""Rows that differ only in their targets and training seeds, as one line: the mean over targets of the mean
over each one's seeds, and its 95 % interval over targets, or over the seeds of a single one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from unpromptable.scoring.estimates import Estimate

from . import spread, took, unsampled
from .row import Line, Row


def collect(rows: Sequence[Row], paper: Sequence[dict[str, Any]] = ()) -> list[Line]:
    """One line per group in order of first use; a row of its own group is a line as it is.

    paper: the paper's rows, of which a line takes the one of its name.
    """
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(json.dumps([row.line, *_settings(row).items()], default=str), []).append(row)
    known = {p["name"]: p for p in paper}
    return [_line(members, known) for members in found.values()]


def grouped(lines: Sequence[Line]) -> bool:
    """Whether any line stands for more than one row."""
    return any(len(line.members) > 1 for line in lines)


def member(lines: Sequence[Line], row: Row) -> Line:
    """The line that stands for a row."""
    return next(line for line in lines if row.name in line.members)


def short(names: list[str]) -> list[str]:
    """The names without the words that all of them begin with: the values of a sweep over one setting."""
    words = len(os.path.commonprefix([n.split() for n in names])) if len(names) > 1 else 0
    return [" ".join(n.split()[words:]) or n for n in names]


def by_target(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each target, in order of first use: one, or one of each training seed."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(target(row), []).append(row)
    return found


def each(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """By target: the means of the metrics that all of its rows have, over these rows."""
    return {name: _means(of) for name, of in by_target(rows).items()}


def _means(rows: list[Row]) -> dict[str, float]:
    if len(rows) == 1:
        return rows[0].means()
    shared = [k for k in rows[0].means() if _in_all(rows, k)]
    return {k: float(np.mean([m.value(k).mean for m in rows])) for k in shared}


def by_seed(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """By target and training seed: the means of the metrics; empty where no target has several seeds."""
    found = {t: {seed(m): m.means() for m in of} for t, of in by_target(rows).items()}
    return found if any(len(of) > 1 for of in found.values()) else {}


def seed(row: Row) -> str:
    """A row's training seed, as text; of a model that was unlearned elsewhere its folder, since nobody says
    what else tells it from others of its group.
    """
    return str(row.settings.get("training.seed", row.settings.get("unlearned", "")))


def _line(members: list[Row], paper: dict[str, dict[str, Any]]) -> Line:
    done = [m for m in members if m.done]
    first = (done or [m for m in members if m.ended] or members)[0]
    told = {f.name: getattr(first, f.name) for f in fields(Row)}
    told |= {"each": each(done), "by_seed": by_seed(done)}
    if len(members) > 1:
        told |= _together(first, members, done)
        told |= _left_out(members, told)
    return Line(
        **told,
        members=tuple(m.name for m in members),
        finished=len(done),
        targets=tuple(target(m) for m in members),
        paper=paper.get(told["name"]),
    )


def _together(first: Row, members: list[Row], done: list[Row]) -> dict[str, Any]:
    """What a line of several rows has in place of its first row's."""
    values = {k: _over(members, done, k) for k in first.means() if _in_all(done, k)}
    return {
        "name": _name(first, members),
        "status": "done" if done else "failed",
        "error": None if done else "; ".join(dict.fromkeys(str(m.error) for m in members)),
        "settings": _settings(first),
        "seconds": {
            k: float(np.mean([m.seconds[k] for m in done]))
            for k in first.seconds
            if all(k in m.seconds for m in done)
        },
        "surrogates": tuple(s for m in done for s in m.surrogates),
        "metrics": {k: values.get(k) for k in first.metrics if not done or _known(done, k)},
        "took": took.together([m.took for m in members]),
    }


def _left_out(members: list[Row], told: dict[str, Any]) -> dict[str, Any]:
    """What a line has instead where some of its rows were not sampled: SSCD alone, over all judged. Those
    that were are the ones that forgot, and to compare by them would choose by the outcome.
    """
    judged = [m for m in members if m.ended]
    left = [m for m in judged if not m.done]
    if not left:
        return {}
    shared = [k for k in left[0].means() if _in_all(judged, k)]
    judged = [replace(m, metrics={k: m.metrics[k] for k in shared}) for m in judged]
    values = {k: _over(members, judged, k) for k in shared}
    error = unsampled.reason([(target(m), m.value("sscd").mean) for m in judged])
    metrics = {k: values.get(k) for k in told["metrics"]}
    none: dict[str, Any] = {"labels": {}, "surrogates": (), "seconds": {}, "inputs": {}}
    by = {"each": each(judged), "by_seed": by_seed(judged)}
    return {**none, **by, "status": unsampled.STATUS, "error": error, "metrics": metrics}


def _name(first: Row, members: list[Row]) -> str:
    """The group's name, else the words that all members' names begin with."""
    common = " ".join(os.path.commonprefix([m.name.split() for m in members])).strip(" ,")
    return first.line or common or members[0].name


def _known(done: list[Row], metric: str) -> bool:
    """Whether all have heard of a metric, be it that none has a result."""
    return all(metric in m.metrics for m in done)


def _in_all(done: list[Row], metric: str) -> bool:
    return bool(done) and all(m.metrics.get(metric) is not None for m in done)


def _over(members: list[Row], done: list[Row], metric: str) -> Estimate:
    """Mean over targets, with Student's 95 % interval over them, or over the seeds of the line's only target;
    of several targets one alone that is done tells nothing of how far it may be off.
    """
    value = spread.over([np.array([m.value(metric).mean for m in of]) for of in by_target(done).values()])
    lonely = len(by_target(done)) == 1 < len(by_target(members))
    return Estimate(value.mean, None, None, 1) if lonely else value


def target(row: Row) -> str:
    """A row's targets, as text."""
    return row.settings.get("forget", "")


def _settings(row: Row) -> dict[str, Any]:
    """What the rows of one line have in common: models that were unlearned elsewhere are one line where a
    group says so.
    """
    own = ("forget", "training.seed", *(("unlearned",) if row.line else ()))
    return {k: v for k, v in row.settings.items() if k not in own}

"""A run's numbers on the server: over the updates of a training, from its history.jsonl, and at its end.

MLflow keeps every point that it was ever sent, and none can be taken back. Of a number it shows the point of
the greatest step, of several there the latest, of several at once the greatest, where nan counts as 0. So
what is measured anew goes with a later time than what it replaces.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from unpromptable.storage import records

BATCH = 1000  # metrics in one request, MLflow's limit
MOST = sys.float_info.max  # as which MLflow keeps an infinite number
Point = tuple[str, float, int, int]  # name, value, time in ms, step


def keys(history: Path) -> set[str]:
    """The numbers that a history's updates hold."""
    updates = records.lines(history) if history.is_file() else []
    return {k for one in updates[-1:] for k, v in one.items() if isinstance(v, (int, float)) and k != "step"}


def curves(lines: list[str], run: str, start: int) -> list[Point]:
    """Step histories; a point's time follows from its step, so that a point sent twice is one point."""
    return [
        (f"train/{k}", float(v), start + one["step"], one["step"])
        for one in records.each("\n".join(lines).encode(), f"history of {run}", step=int)
        for k, v in one.items()
        if isinstance(v, (int, float)) and k != "step"
    ]


def bring(client: Any, run: Any, points: Iterable[Point]) -> None:
    """Send those of these points that the run does not show, each later than what it shows in its place, so
    that the same points again add nothing. run: as the server has it now.
    """
    shown = run.data.metrics
    wanted: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        wanted[point[0]].append(point)
    fresh: list[Point] = []
    for name, those in wanted.items():
        if name not in shown:
            fresh += those
        elif len(those) > 1 or not _same(shown[name], those[0][1]):
            fresh += _later(client.get_metric_history(run.info.run_id, name), those)
    send(client, run.info.run_id, fresh)


def _later(kept: Sequence[Any], points: list[Point]) -> list[Point]:
    """The points of one name that differ from the last that was kept of their step, after it in time."""
    rank = lambda metric: (metric.timestamp, 0.0 if math.isnan(metric.value) else metric.value)
    last = {metric.step: metric for metric in sorted(kept, key=rank)}
    fresh = []
    for name, value, time, step in points:
        if step not in last:
            fresh.append((name, value, time, step))
        elif not _same(last[step].value, value):
            fresh.append((name, value, max(time, last[step].timestamp + 1), step))
    return fresh


def _same(kept: float, value: float) -> bool:
    """Whether MLflow keeps the value as that."""
    return kept == max(-MOST, min(value, MOST)) or math.isnan(kept) and math.isnan(value)


def send(client: Any, run: str, points: list[Point]) -> None:
    """Points in requests that the server takes."""
    from mlflow.entities import Metric

    for i in range(0, len(points), BATCH):
        client.log_batch(run, metrics=[Metric(*p) for p in points[i : i + BATCH]])

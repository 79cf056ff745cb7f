"""Numbers over the updates of a training, from its history.jsonl to MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unpromptable.storage import records

BATCH = 1000  # metrics in one request, MLflow's limit


def keys(history: Path) -> set[str]:
    """The numbers that a history's updates hold."""
    updates = records.lines(history) if history.is_file() else []
    return {k for one in updates[-1:] for k, v in one.items() if isinstance(v, (int, float)) and k != "step"}


def log(client: Any, run: str, lines: list[str], start: int) -> None:
    """Step histories; a point's time follows from its step, so that a point sent twice is one point."""
    points = []
    for one in records.each("\n".join(lines).encode(), f"history of {run}", step=int):
        points += [
            (f"train/{k}", float(v), start + one["step"], one["step"])
            for k, v in one.items()
            if isinstance(v, (int, float)) and k != "step"
        ]
    send(client, run, points)


def send(client: Any, run: str, points: list[tuple[str, float, int, int]]) -> None:
    """Metrics as (name, value, time in ms, step), in requests that the server takes."""
    from mlflow.entities import Metric

    for i in range(0, len(points), BATCH):
        client.log_batch(run, metrics=[Metric(*p) for p in points[i : i + BATCH]])

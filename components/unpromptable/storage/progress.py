"""Which step of which cell is at work, how far it is, how long it will take: events in one file, shown by
`watch`.
"""

from __future__ import annotations

import json
import logging
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import records

log = logging.getLogger(__name__)
FIELDS = {"time": float, "cell": str, "step": str, "kind": str, "text": str}  # of an event
EVERY, SAY = 0.5, 10.0  # seconds between events of one bar in the file, and between lines in a pod's log


def event(store: str, cell: str, step: str, kind: str, text: str = "", **more: Any) -> None:
    """Append one event: kind is start, progress, done, skipped or failed. A line is one write, so steps do
    not mix.
    """
    path = Path(store) / "progress.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(
            json.dumps({"time": time.time(), "cell": cell, "step": step, "kind": kind, "text": text, **more})
            + "\n"
        )
    if kind != "progress":
        log.info("%s %s: %s %s", cell, step, kind, text)


class Progress:
    """A long step's bar."""

    def __init__(self, store: str, cell: str, step: str, total: int):
        self.store, self.cell, self.step, self.total = store, cell, step, total
        self.wrote = self.said = 0.0

    def update(self, done: int, text: str = "") -> None:
        """`done` of the total; written at most twice a second, logged every ten."""
        now, last = time.monotonic(), done >= self.total
        if last or now - self.wrote >= EVERY:
            self.wrote = now
            event(self.store, self.cell, self.step, "progress", text, done=done, total=self.total)
        if last or now - self.said >= SAY:
            self.said = now
            log.info("%s %s %d/%d  %s", self.cell, self.step, done, self.total, text)


def bar(store: str, cell: str, step: str) -> Callable[..., None]:
    """progress(done, total, text) for a step whose total is known when it first calls."""
    bars: dict[int, Progress] = {}

    def show(done: int, total: int, text: str = "") -> None:
        if total not in bars:
            bars[total] = Progress(store, cell, step, total)
        bars[total].update(done, text)

    return show


def watch(store: str, process: subprocess.Popen, console: Any) -> list[dict[str, Any]]:
    """Show events until `process` ends: live bars in a terminal, plain lines elsewhere. Returns the failed
    ones.
    """
    reader, failed = _Reader(Path(store) / "progress.jsonl"), []
    show = _Bars(console) if console.is_terminal else _Lines(console)
    with show:
        running = True
        while running:
            running = process.poll() is None
            for one in reader.fresh():
                failed += [one] if one["kind"] == "failed" else []
                show.take(one)
            if running:
                time.sleep(0.2)
    return failed


class _Reader:
    """New whole lines of a file that grows, from its end at the start of the run on."""

    def __init__(self, path: Path):
        self.path, self.at = path, path.stat().st_size if path.exists() else 0

    def fresh(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.at)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.at += len(whole)
        return [one for one in records.each(whole, str(self.path), **FIELDS) if _shown(one)]


def _shown(one: dict[str, Any]) -> bool:
    """Whether an event is of a kind that is shown, and says how far its step is where it must."""
    far = all(isinstance(one.get(k), int) and one[k] > 0 for k in ("done", "total"))
    return one["kind"] in ("start", "done", "skipped", "failed") or one["kind"] == "progress" and far


def _reason(one: dict[str, Any]) -> str:
    """An event's text; of bad input, which ends the run, it is told at the end and not twice."""
    return "" if one.get("bad") else one["text"]


class _Lines:
    """One plain line when a step starts, ends, or has worked for ten seconds more."""

    def __init__(self, console: Any):
        self.console = console
        self.said: dict[tuple[str, str], tuple[float, float]] = {}  # when a step began, and was last told of

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, one: dict[str, Any]) -> None:
        key = (one["cell"], one["step"])
        began, last = self.said.get(key, (one["time"], one["time"]))
        if one["kind"] == "progress":
            if one["time"] - last < SAY and one["done"] < one["total"]:
                self.said[key] = (began, last)
                return
            left = (one["time"] - began) / one["done"] * (one["total"] - one["done"])
            text = f"{one['done']}/{one['total']}  {one['text']}  {left:.0f} s left"
        else:
            text = f"{one['kind']} {_reason(one)}".strip()
        self.said[key] = (began, one["time"])
        self.console.print(
            f"{one['cell'] or 'run':<12} {one['step']:<10} {text}",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )


class _Bars:
    """Live bars of the steps at work, and a line for each that ended."""

    def __init__(self, console: Any):
        from rich.markup import escape
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.escape = escape  # a cell's name and an error are text, whatever brackets are in them
        names = TextColumn("{task.fields[cell]:<12} {task.fields[step]:<10}", markup=False)
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        text = TextColumn("{task.description}", markup=False)
        self.bars = Progress(names, BarColumn(24), MofNCompleteColumn(), *times, text, console=console)
        self.at_work: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> _Bars:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def take(self, one: dict[str, Any]) -> None:
        key = (one["cell"], one["step"])
        if one["kind"] in ("start", "progress"):
            if key not in self.at_work:
                self.at_work[key] = self.bars.add_task(
                    "", cell=one["cell"] or "run", step=one["step"], total=None
                )
            self.bars.update(
                self.at_work[key],
                description=one["text"],
                completed=one.get("done", 0),
                total=one.get("total"),
            )
            return
        if key in self.at_work:
            self.bars.remove_task(self.at_work.pop(key))
        mark = {"done": "[green]✓[/]", "skipped": "[dim]·[/]", "failed": "[red]✗[/]"}[one["kind"]]
        text = (
            f"{one['cell'] or 'run':<12} {one['step']:<10}"
            f" {'already finished' if one['kind'] == 'skipped' else _reason(one)}"
        )
        self.bars.console.print(f"{mark} {self.escape(text)}", highlight=False, soft_wrap=True)

"""Progress: events in one file, read while it grows, shown as lines in a pod and as bars in a terminal."""

import io
import json
import subprocess
import sys
import threading
import time

import pytest
from rich.console import Console

from unpromptable.storage import progress


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]


def test_a_bar_writes_at_most_twice_a_second_and_always_its_end(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    show = progress.bar(str(tmp_path), "Ours", "unlearn")
    for done in range(1, 101):
        now[0] += 0.1
        show(done, 100, f"update {done}/100")
    written = [e["done"] for e in lines(tmp_path)]
    assert 18 <= len(written) <= 22 and written[-1] == 100 and written == sorted(written)


def test_a_bar_of_two_totals_counts_each_for_itself(tmp_path):
    show = progress.bar(str(tmp_path), "Ours", "sample 0")
    show(3, 3, "denoising a"), show(7, 7, "7 images")
    assert [(e["done"], e["total"]) for e in lines(tmp_path)] == [(3, 3), (7, 7)]


def test_events_of_many_writers_do_not_mix(tmp_path):
    write = lambda k: [
        progress.event(str(tmp_path), f"cell {k}", "sample", "start", "x" * 500) for _ in range(50)
    ]
    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert len(lines(tmp_path)) == 200


def watched(tmp_path, terminal, events):
    """What is shown of these events of a process, and the failures that are handed back."""
    progress.event(str(tmp_path), "Old", "score", "failed", "of an earlier run")
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=160)
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    found = []
    thread = threading.Thread(target=lambda: found.extend(progress.watch(str(tmp_path), process, console)))
    thread.start()
    time.sleep(0.3)
    for cell, step, kind, text, more in events:
        progress.event(str(tmp_path), cell, step, kind, text, **more)
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write('{"half a li')
    time.sleep(0.5)
    process.communicate()
    thread.join(timeout=10)
    return shown.getvalue(), found


EVENTS = [
    ("before", "prepare", "start", "", {}),
    ("Ours [x]", "unlearn", "progress", "update 240/240", {"done": 240, "total": 240}),
    ("Ours [x]", "unlearn", "done", "", {}),
    ("NegGrad", "unlearn", "failed", "loss is nan", {}),
    ("before", "prepare", "failed", "bad.png is no picture", {"bad": True}),
    ("SISS", "score", "skipped", "", {}),
]


@pytest.mark.parametrize("terminal", [False, True])
def test_watching_shows_each_step_and_hands_back_this_runs_failures(tmp_path, terminal):
    shown, failed = watched(tmp_path, terminal, EVENTS)
    assert [(f["cell"], f["text"]) for f in failed] == [
        ("NegGrad", "loss is nan"),
        ("before", "bad.png is no picture"),
    ]
    assert "of an earlier run" not in shown and "Ours [x]" in shown and "loss is nan" in shown
    assert "bad.png" not in shown, "it ends the run, whose last line says it"

"""A run stopped at a random moment, by any signal: the same command ends it with the same rows.

Every third is a local run as `local` starts it, driver, runner and steps; the others are the steps alone, one
after another in one process.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_run
from small_run import TEXT, rows

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("UNPROMPTABLE_KILLS", "12"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LONGEST = 600  # seconds that an undisturbed run may take


def start(store, experiment):
    words = [sys.executable, "-m", "pipelines", "local", str(experiment), "--out", str(store)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def processes(store):
    """Those whose words or folder are of this run, by the processes' own files."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode(errors="replace")
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(store) in words and state != "Z":
            found.append(int(path.name))
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    (folder / "small.yaml").write_text(TEXT)
    began = time.monotonic()
    process = start(folder / "whole", folder / "small.yaml")
    said = process.communicate(timeout=LONGEST)[0]
    assert process.returncode == 0, said
    return folder, rows(folder / "whole"), time.monotonic() - began


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """The same cells by the steps alone."""
    folder = tmp_path_factory.mktemp("steps")
    began = time.monotonic()
    process = start_steps(folder / "whole")
    said = process.communicate(timeout=LONGEST)[0]
    assert process.returncode == 0, said
    return folder, rows(folder / "whole"), time.monotonic() - began


def start_steps(store):
    words = [sys.executable, small_run.__file__, str(store)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "MLFLOW_TRACKING_URI": "nowhere://x",
    }
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def nothing_runs(store):
    """Wait until no process of this run is left, and say whether."""
    until = time.monotonic() + 10
    while processes(store) and time.monotonic() < until:
        time.sleep(0.1)
    return not processes(store)


@pytest.mark.parametrize("seed", range(0, KILLS, 3))
def test_a_run_that_was_killed_ends_with_the_same_rows_and_leaves_nothing_running(whole, seed):
    folder, wanted, seconds = whole
    chance, store = random.Random(seed), folder / f"run{seed}"
    after = chance.uniform(0, 10) if seed % 5 == 0 else chance.uniform(0, seconds)
    number, at = chance.choice(SIGNALS), chance.choice(["driver", "runner", "any"])
    process = start(store, folder / "small.yaml")
    time.sleep(after)
    others = [p for p in processes(store) if p != process.pid]
    victim = {"driver": [process.pid], "runner": others[:1], "any": others[-1:]}[at] or [process.pid]
    os.kill(victim[0], number)
    process.communicate(timeout=LONGEST)
    how = f"{number.name} to the {at} after {after:.1f} s"
    assert nothing_runs(store), how
    again = start(store, folder / "small.yaml")
    said = again.communicate(timeout=LONGEST)[0]
    assert again.returncode == 0, f"{how}\n{said}"
    assert rows(store) == wanted, how
    told = [json.loads(line) for line in (store / "progress.jsonl").read_text().splitlines()]
    assert told[-1]["step"] == "report"


@pytest.mark.parametrize("seed", [s for s in range(KILLS) if s % 3])
def test_steps_that_were_killed_end_with_the_same_rows(steps, seed):
    folder, wanted, seconds = steps
    chance, store = random.Random(seed), folder / f"run{seed}"
    after, number = chance.uniform(0, seconds), chance.choice(SIGNALS)
    process = start_steps(store)
    time.sleep(after)
    running = processes(store)
    os.kill(chance.choice(running) if running else process.pid, number)
    process.communicate(timeout=LONGEST)
    how = f"{number.name} after {after:.1f} of {seconds:.1f} s"
    assert nothing_runs(store), how
    again = start_steps(store)
    said = again.communicate(timeout=LONGEST)[0]
    assert again.returncode == 0, f"{how}\n{said}"
    assert rows(store) == wanted, how

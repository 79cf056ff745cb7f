"""A local run's processes: one run at a time in a folder, and none that outlives the command."""

import os
import signal
import subprocess
import sys
import time

import pytest

from pipelines.cli import running

DRIVER = """
import atexit, sys, time
from pathlib import Path
from pipelines.cli import running

out = Path(sys.argv[1])
if (out / "slow").exists():
    atexit.register(time.sleep, 1)

def watch(child):
    while child.poll() is None:
        time.sleep(0.05)
    return ["seen"]

with running.alone(out) as lock:
    print(running.drive(["runner", str(out)], "given", lock, "1", out / "log.txt", watch, print), flush=True)
"""
RUNNER = """
import os, subprocess, sys, time
from pathlib import Path
from pipelines.cli import running

running.end_with_parent()
out = Path(sys.argv[1])
step = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
(out / "pids").write_text(f"{os.getpid()} {step.pid} {sys.stdin.read()} {os.environ['OMP_NUM_THREADS']}")
if not (out / "quick").exists():
    time.sleep(60)
step.kill()
sys.exit(3)
"""


@pytest.fixture
def start(tmp_path):
    """The command as a process, and the process ids of its runner and of a step of it."""
    (tmp_path / "runner.py").write_text(RUNNER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    started = []

    def one(**more):
        words = [sys.executable, "-c", DRIVER, str(tmp_path)]
        how = {"env": environment, "stdout": subprocess.PIPE, "text": True, "preexec_fn": heed, **more}
        started.append(subprocess.Popen(words, **how))
        until = time.monotonic() + 30
        while not (tmp_path / "pids").exists() and started[-1].poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)  # the file is written by then
        told = (tmp_path / "pids").read_text().split()
        (tmp_path / "pids").unlink()
        return started[-1], [int(pid) for pid in told[:2]], told[2:]

    yield one
    for process in started:
        process.kill()


def heed():
    """Let SIGINT count, which a shell's background job ignores and hands on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def alive(pids):
    def one(pid):
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    return any(map(one, pids))


def gone(pids, seconds=5.0):
    until = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pids)


def test_a_run_hands_on_its_input_threads_and_exit_code(start, tmp_path):
    (tmp_path / "quick").touch()
    process, pids, told = start()
    assert told == ["given", "1"] and process.communicate(timeout=20)[0] == "(3, ['seen'])\n" and gone(pids)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_the_command_whatever_ends_it_and_the_next_one_starts(start, tmp_path, number):
    process, pids, _ = start()
    assert alive(pids)
    process.send_signal(number)
    said = process.communicate(timeout=20)[0]
    assert gone(pids) and (number == signal.SIGKILL or said == f"{running.STOPPED}\n")
    (tmp_path / "quick").touch()
    assert start()[0].wait(timeout=20) == 0


def test_a_second_word_to_end_does_not_break_the_ending(start, tmp_path):
    (tmp_path / "slow").touch()
    process, pids, _ = start(stderr=subprocess.STDOUT)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == f"{running.STOPPED}\n"
    for number in running.TOLD:
        process.send_signal(number)
    assert process.communicate(timeout=20)[0] == "" and process.returncode == 128 + signal.SIGTERM
    assert gone(pids)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_runner_that_is_killed_takes_its_steps_along(start, number):
    process, (runner, step), _ = start()
    os.kill(runner, number)
    assert process.communicate(timeout=20)[0] == f"(-{int(number)}, ['seen'])\n" and gone([runner, step])


def test_another_run_in_the_folder_is_refused_while_one_is_at_work(start, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "PATIENCE", 0.2)
    _, pids, _ = start()
    with pytest.raises(OSError, match="another run is at work there"), running.alone(tmp_path):
        pass
    assert alive(pids)

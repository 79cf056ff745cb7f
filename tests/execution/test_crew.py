"""A step's processes: they share calls; one that fails or is killed ends them all, as their parent does."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import crew_work
import pytest

from unpromptable.execution.crew import Crew
from unpromptable.models import device
from unpromptable.storage import attempts


@pytest.fixture(autouse=True)
def two(monkeypatch):
    monkeypatch.setenv(device.VARIABLE, "2")


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_calls_are_shared_in_their_order_and_a_failure_ends_all_with_its_reason():
    heard = []
    with Crew(crew_work.echoing, ("word",)) as crew:
        values = crew.answers([("a",), ("b",), ("c",)], lambda i, rank, what: heard.append((i, what)))
        pids = {pid for _, pid in values}
        assert [said for said, _ in values] == ["word a", "word b", "word c"]
        assert sorted(heard) == [(0, "a"), (1, "b"), (2, "c")]
        assert pids <= {p.pid for p in crew.members.values()} and os.getpid() not in pids
        assert crew.start() == 2
        with pytest.raises(ValueError, match="word failed"):
            crew.answers([("wait",), ("fail",)], lambda *_: None)
        assert all(map(gone, pids)) and not crew.members
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("way, said, memory", [("kill", "killed", True), ("leave", "ended without", False)])
def test_a_process_that_is_lost_is_a_fault_after_which_a_step_is_tried_again(way, said, memory):
    with Crew(crew_work.echoing, ("word",)) as crew, pytest.raises(attempts.Fault, match=said) as fault:
        crew.answers([("wait",), (way,)], lambda *_: None)
    assert fault.value.memory == memory and not multiprocessing.active_children()


def test_a_kill_is_told_as_the_cause_though_another_process_fails_for_it():
    with Crew(crew_work.confused, ()) as crew, pytest.raises(attempts.Fault, match="process 2 of 2 killed"):
        crew.answers([(), ()], lambda *_: None)


def test_what_cannot_be_set_up_is_told_and_more_processes_than_the_work_are_not_started():
    with Crew(crew_work.failing, ()) as crew, pytest.raises(FileNotFoundError, match="no model for process"):
        crew.answers([(), ()], lambda *_: None)
    with Crew(crew_work.echoing, ("here",), most=1) as crew:
        assert crew.answers([("a",)], lambda *_: None) == [("here a", os.getpid())]
        assert crew.start() == 1 and not crew.members


def test_no_process_outlives_a_program_that_is_killed_and_none_runs_it_again():
    command = [sys.executable, str(Path(crew_work.__file__).with_name("crew_program.py"))]
    step = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    pids = [int(word) for word in step.stdout.readline().split()]
    assert len(pids) == 2 and not any(map(gone, pids))
    step.send_signal(signal.SIGKILL)
    step.wait()
    until = time.monotonic() + 20
    while not all(map(gone, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert all(map(gone, pids))


@pytest.mark.parametrize("told, words", [("0", "'0'; give a whole number"), ("two", "'two'; give a whole")])
def test_a_number_of_processes_that_is_none_is_refused(monkeypatch, told, words):
    monkeypatch.setenv(device.VARIABLE, told)
    with pytest.raises(ValueError, match=words):
        device.processes()


def test_more_processes_than_gpus_are_refused_and_without_a_word_each_gpu_has_one(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ValueError, match="is 2, but 1 GPUs are seen"):
        device.processes()
    monkeypatch.delenv(device.VARIABLE)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert device.processes() == 4
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert device.processes() == 1

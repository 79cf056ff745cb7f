"""A step that the machine failed runs again in its own pod and resumes: killed, out of memory, a CUDA or a
store error.
"""

import copy
import errno
import json
import os
import socketserver
import subprocess
import sys
import threading

import pytest
import torch

from unpromptable.execution import plan_step, prepare_step, warm_client
from unpromptable.planning import plan
from unpromptable.planning.experiment import Cell
from unpromptable.planning.settings import Choice, Training
from unpromptable.reporting import rows
from unpromptable.storage import attempts, files, once
from unpromptable.storage.place import Output, Place, folder
from unpromptable.unlearning import fit_memory, training

CUDA = RuntimeError("CUDA error: an illegal memory access was encountered")
LIGHT = """
import json, logging, os, signal, sys, time
from pathlib import Path
from unpromptable.execution import warm_client as warm
from unpromptable.storage import attempts, once
from unpromptable.storage.place import Output, Place

logging.basicConfig(level="INFO")
attempts.PAUSE = 0.0
where, faults = sys.argv[1], sys.argv[2].split(",")

def build(path, bar):
    number = len(list(Path(where).glob("try*")))
    Path(where, f"try{number} {attempts.now.halvings}").touch()
    fault = faults[number] if number < len(faults) else ""
    if fault.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, fault))
    if fault == "full":
        attempts.LOOK = 0.01
        Path(where, "cgroup", "memory.stat").write_text("anon 99999999\\nfile 5\\n")
        time.sleep(30)
    if fault == "memory":
        raise MemoryError
    if fault == "store":
        raise OSError(5, "Input/output error")
    if fault == "bad":
        raise ValueError("remember is nan")
    Path(where, "cgroup", "memory.stat").write_text("anon 5\\nfile 99999999\\n")
    path.write_text(f"made in {os.getppid() == parent}")

@warm.warmed
def unlearn(cell, store):
    Path(where, "cgroup", "memory.stat").write_text("anon 5\\nfile 99999999\\n")
    output = Output(Place(store, "cells/ours-1234", "Ours"), "unlearn", "unlearned", "k1")
    once.guarded(output, build)
    return 7

parent = os.getpid()
attempts.CGROUP = Path(where, "cgroup")
print(unlearn("demo/ours-1234", where))
"""


def place(tmp_path):
    return Place(str(tmp_path), "cells/ours-1234", "Ours")


def light(tmp_path, faults, retries="2"):
    """A step without networks, in a process of its own as a pod starts it: its output, attempts, failure and
    words.
    """
    (tmp_path / "cgroup").mkdir()
    (tmp_path / "cgroup" / "memory.max").write_text("100000000\n")
    words = [sys.executable, "-c", LIGHT, str(tmp_path), faults]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), attempts.VARIABLE: retries}
    run = subprocess.run(words, env=environment, text=True, capture_output=True, timeout=60)
    assert run.returncode == 0 and run.stdout == "7\n", run.stderr
    at = place(tmp_path)
    made = at.path("unlearned")
    tried = sorted(p.name for p in tmp_path.glob("try*"))
    return (
        made.exists() and made.read_text(),
        tried,
        once.noted(at),
        attempts.notes(at.path()),
        run.stderr,
    )


@pytest.mark.parametrize(
    "fault, said, halved",
    [
        ("SIGKILL", "killed, most likely for memory (limit 0.0931323Gi)", 1),
        ("SIGSEGV", "ended by SIGSEGV", 0),
        ("full", "killed before memory was full (limit 0.0931323Gi)", 1),
        ("memory", "MemoryError", 1),
        ("store", "OSError: [Errno 5] Input/output error", 0),
    ],
)
def test_a_fault_of_the_machine_is_tried_again_in_a_child_and_said(tmp_path, fault, said, halved):
    made, tried, failed, told, log = light(tmp_path, fault)
    assert made == "made in True" and tried == ["try0 0", f"try1 {halved}"] and failed is None
    less = f"; {attempts.advice('unlearn')}" if halved else ""
    assert told == [f"unlearn: {said}{less}; ran again in its pod, 1 of 2"] and told[0] in log


@pytest.mark.parametrize(
    "step, setting",
    [("unlearn", "training.micro_batch"), ("sample", "sampling.batch"), ("prepare", "pictures")],
)
def test_a_step_short_of_memory_says_what_to_lower_and_how_to_get_more(step, setting):
    assert setting in attempts.advice(step) and "submit --memory" in attempts.advice(step)


def test_a_step_killed_each_time_ends_with_a_row_that_names_the_cause(tmp_path):
    made, tried, failed, told, _ = light(tmp_path, "SIGKILL,SIGKILL,SIGKILL")
    assert not made and tried == ["try0 0", "try1 1", "try2 2"] and len(told) == 2
    assert failed["step"] == "unlearn" and not failed["again"]
    killed = "killed, most likely for memory (limit 0.0931323Gi)"
    assert failed["error"] == f"{killed}; {attempts.advice('unlearn')} (tried 3 times)"


def test_the_number_of_attempts_is_a_setting(tmp_path, monkeypatch):
    made, tried, failed, told, _ = light(tmp_path, "store", retries="0")
    assert not made and len(tried) == 1 and "Input/output error" in failed["error"] and not told
    monkeypatch.setenv(attempts.VARIABLE, "two")
    with pytest.raises(ValueError, match="UNPROMPTABLE_RETRIES is 'two'; give a whole number, 0 or more"):
        attempts.times()


def test_a_fault_of_the_input_is_not_tried_again(tmp_path):
    made, tried, failed, told, _ = light(tmp_path, "bad")
    assert not made and len(tried) == 1 and failed["error"] == "remember is nan" and not told


@pytest.mark.parametrize(
    "error, again",
    [
        (CUDA, True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (OSError(errno.EIO, "x"), True),
        (ConnectionError("x"), True),
        (RuntimeError("out of memory with one image at a time (CUDA out of memory)"), False),
        (RuntimeError("shapes do not match"), False),
        (ValueError("CUDA error"), False),
    ],
)
def test_what_may_pass_is_told_from_what_would_come_again(error, again):
    assert attempts.passing(error) == again


def test_the_micro_batch_is_halved_for_each_fault_of_memory():
    smaller = lambda n: (
        attempts.within(fit_memory.smaller, (Training(batch=8),), attempts.Attempt(halvings=n)).micro_batch
    )
    assert [smaller(n) for n in range(5)] == [0, 4, 2, 1, 1]


@pytest.mark.parametrize("fault, close", [(CUDA, 0.0), (torch.OutOfMemoryError("CUDA out of memory."), 1e-5)])
def test_a_training_that_the_device_failed_once_resumes_and_ends_with_the_numbers_of_an_undisturbed_one(
    tiny, images, tmp_path, monkeypatch, fault, close
):
    monkeypatch.setattr(attempts, "PAUSE", 0.0)
    settings = Training(steps=3, batch=4, lr=1e-3, save_every=2, eps=1e-2)  # Adam grows rounding
    cell = Cell("Ours", Choice("surrogate", {"beta": 1e-3}), Choice("flip"), settings, ("a", "b"))
    whole, seen = copy.deepcopy(tiny), []
    training.unlearn(cell, whole, images, tmp_path / "whole")
    fresh = iter([copy.deepcopy(tiny), copy.deepcopy(tiny)])

    def build(path, bar):
        def show(done, total, text):
            seen.append(done)
            if seen == [1, 2, 3]:
                raise fault

        build.model = next(fresh)
        training.unlearn(cell, build.model, images, tmp_path / "training", show)
        path.write_text("x")

    output = Output(place(tmp_path), "unlearn", "unlearned", "k1")
    step = lambda: once.guarded(output, build)
    start = lambda attempt: attempts.child(step, (), attempt)
    attempts.persist("unlearn", output.path.parent, start, None)
    assert seen == [1, 2, 3, 3, 4, 5, 6]
    for a, b in zip(whole.trained(), build.model.trained()):
        torch.testing.assert_close(a, b, rtol=0, atol=close)
    for name in ("training", "whole"):
        lines = (tmp_path / name / "history.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]


def test_the_row_tells_the_attempts_that_failed(tmp_path):
    run = plan.resolve("name: t\nforget: ['0012-3']\ncells:\n- {name: Ours, editor: flip}\n").run()
    (spec,) = run.cells
    assert rows.failed(run.experiment, spec, str(tmp_path)).again == ()
    told = ["unlearn: killed; ran again in its pod, 1 of 2"]
    files.write_text(spec.place(tmp_path).path(attempts.NOTE), json.dumps(told))
    assert rows.failed(run.experiment, spec, str(tmp_path)).again == tuple(told)


def test_a_child_of_the_runs_server_that_is_killed_is_tried_again_by_the_step_that_asked(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(attempts, "PAUSE", 0.0)
    asked = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            asked.append(json.loads(self.rfile.readline())["attempt"])
            if len(asked) > 1:  # the first child ends without an answer
                self.wfile.write(b'{"value": 7}\n')

    @warm_client.warmed
    def unlearn(cell, store):
        raise AssertionError("the server does the work")

    with socketserver.UnixStreamServer(str(tmp_path / "s"), Handler) as server:
        (tmp_path / warm_client.FILE).write_text(json.dumps({"socket": str(tmp_path / "s")}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert unlearn("demo/ours-1234", str(tmp_path)) == 7
        server.shutdown()
    assert [(a["tried"], a["left"], a["halvings"]) for a in asked] == [(0, 2, 0), (1, 1, 1)]
    said = (
        f"unlearn: killed, most likely for memory; {attempts.advice('unlearn')}; ran again in its pod, 1 of 2"
    )
    assert attempts.notes(folder(str(tmp_path), "demo/ours-1234")) == [said]


STEP = """
import logging, os, signal, sys
from pathlib import Path
from unpromptable.execution import unlearn_step
from unpromptable.storage import attempts, progress

logging.basicConfig(level="INFO")
attempts.PAUSE, at, where, fault, usual = 0.0, int(sys.argv[2]), sys.argv[1], sys.argv[3], progress.bar

def faulty(*told):
    bar = usual(*told)
    def show(done, total, text=""):
        bar(done, total, text)
        mark = Path(where, "faulted")
        if fault and text.startswith("update") and done == at and not mark.exists():
            mark.touch()
            if fault == "SIGKILL":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
    return show

progress.bar = faulty
unlearn_step.unlearn(sys.argv[4], where, "")
assert "torch" not in sys.modules, "the pod's first process is light, so that it may fork"
"""


@pytest.mark.slow
def test_a_step_of_a_pod_killed_or_failed_by_cuda_once_ends_with_the_same_numbers(tmp_path, monkeypatch):
    from safetensors.torch import load_file

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    text = (
        "name: t\nforget: ['0012-3']\nsampling: {images: 4, steps: 2}\n"
        "cells: [{name: Ours, editor: flip, training: {steps: 5, batch: 4, save_every: 2}}]\n"
    )
    found = {}
    for fault in ("", "SIGKILL", "CUDA"):
        where = tmp_path / (fault or "whole")
        (cell,) = plan_step.plan(text, "", {}, str(where), 0)
        prepare_step.prepare(text, str(where))
        words = [sys.executable, "-c", STEP, str(where), "3", fault, cell]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(words, env=environment, text=True, capture_output=True)
        assert run.returncode == 0 and ("resuming at update 3" in run.stderr) == bool(fault), run.stderr
        at = folder(str(where), cell)
        found[fault] = load_file(next((at / "unlearned").rglob("*.safetensors")))
        assert len(attempts.notes(at)) == bool(fault)
    for name, weights in found[""].items():
        torch.testing.assert_close(found["CUDA"][name], weights, rtol=0, atol=0)
        # in two halves of the batch
        torch.testing.assert_close(found["SIGKILL"][name], weights, rtol=0, atol=1e-4)

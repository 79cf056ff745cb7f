"""The process that imports once for all steps of a local run: asked where it is, and done without."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unpromptable.execution import warm_client
from unpromptable.storage import attempts

STEPS = """
import os

from unpromptable.execution.warm_client import warmed


@warmed
def step(cell, store, what):
    if what == "raise":
        raise ValueError("nothing to do")
    return {"pid": os.getpid(), "parent": os.getppid(), "cell": cell}
"""


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """A module of one step, which the server can import too."""
    (tmp_path / "warm_steps.py").write_text(STEPS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    import importlib

    yield importlib.import_module("warm_steps")
    sys.modules.pop("warm_steps")


@pytest.fixture
def server(tmp_path, steps):
    process = subprocess.Popen([sys.executable, "-m", "unpromptable.execution.warm_server", str(tmp_path)])
    until = time.monotonic() + 60
    while not (tmp_path / warm_client.FILE).exists() and time.monotonic() < until:
        time.sleep(0.05)
    yield process
    process.kill()
    process.wait()


def test_a_step_works_in_a_fork_of_the_server_and_hands_back_its_value(server, steps, tmp_path):
    first, second = (steps.step("demo/a", str(tmp_path), "") for _ in range(2))
    assert first["parent"] == second["parent"] == server.pid and first["pid"] != second["pid"] != os.getpid()
    assert first["cell"] == "demo/a"
    with pytest.raises(RuntimeError, match="ValueError: nothing to do"):
        steps.step("demo/a", str(tmp_path), "raise")


def test_a_servers_note_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    from unpromptable.execution import warm_server

    written, write = [], Path.write_text
    monkeypatch.setattr(Path, "write_text", lambda path, *how: (written.append(path), write(path, *how)))
    monkeypatch.setattr(warm_server.signal, "signal", lambda *_: None)
    monkeypatch.setattr(warm_server, "_import", lambda: sys.exit(0))
    with pytest.raises(SystemExit):
        warm_server.serve(str(tmp_path))
    assert len(written) == 1 and tmp_path / warm_client.FILE not in written


def test_a_server_that_is_told_to_end_takes_its_note_and_its_socket_along(server, steps, tmp_path):
    steps.step("demo/a", str(tmp_path), "")
    socket = json.loads((tmp_path / warm_client.FILE).read_text())["socket"]
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=20) == 0
    assert not (tmp_path / warm_client.FILE).exists() and not os.path.exists(os.path.dirname(socket))


@pytest.mark.parametrize("left", ["nothing", "a socket without a server", "a note that is no JSON", "a file"])
def test_what_is_left_of_a_server_does_not_stop_a_step(left, steps, tmp_path, monkeypatch):
    monkeypatch.setattr(attempts, "child", attempts.within)  # torch's threads may be here: no fork
    note = tmp_path / warm_client.FILE
    if left == "a socket without a server":
        import socket

        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(tmp_path / "socket"))
        dead.close()
    if left == "a file":
        (tmp_path / "socket").write_text("")
    if left != "nothing":
        note.write_text(
            "{" if left == "a note that is no JSON" else json.dumps({"socket": f"{tmp_path}/socket"})
        )
    assert steps.step("demo/a", str(tmp_path), "")["pid"] == os.getpid()


TURN = """
import sys, time
from pathlib import Path
from unpromptable.execution import warm_server
warm_server.device.best = lambda: sys.argv[2]
folder = Path(sys.argv[1])
with warm_server.turn(folder / "turn"):
    (folder / sys.argv[3]).write_text("")
    until = time.monotonic() + float(sys.argv[4])
    while not (folder / sys.argv[5]).exists() and time.monotonic() < until:
        time.sleep(0.02)
    sys.exit(int((folder / sys.argv[5]).exists()))
"""


@pytest.mark.parametrize(("device", "wait", "met"), [("cuda", "2", [0, 1]), ("cpu", "60", [1, 1])])
def test_steps_take_turns_with_a_gpu_and_with_processors_do_not(tmp_path, device, wait, met):
    """Each waits inside for the other's sign: with a GPU the first waits in vain."""
    names = ("one", "other")
    both = [
        subprocess.Popen([sys.executable, "-c", TURN, str(tmp_path), device, mine, wait, theirs])
        for mine, theirs in (names, names[::-1])
    ]
    assert sorted(process.wait(timeout=120) for process in both) == met


def test_a_step_that_is_killed_gives_its_turn_back(tmp_path):
    told = [sys.executable, "-c", TURN, str(tmp_path), "cuda"]
    holding = subprocess.Popen([*told, "held", "600", "never"])
    until = time.monotonic() + 60
    while not (tmp_path / "held").exists() and time.monotonic() < until:
        time.sleep(0.05)
    holding.kill()
    holding.wait()
    assert subprocess.run([*told, "next", "0", "held"], timeout=120).returncode == 1


@pytest.mark.parametrize("step", ["prepare", "unlearn", "sample", "score", "report"])
def test_the_process_of_a_step_has_no_torch_so_that_it_may_fork_and_hands_its_work_on_at_once(step):
    program = f"import sys; import unpromptable.execution.{step}_step; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)

"""Two runs on one store: real processes, on a volume and on S3, of which one makes an output and the other
waits, skips or takes over.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fsspec
import pytest

from unpromptable.execution import plan_step, report_step
from unpromptable.storage import direct, files, lease, once
from unpromptable.storage.place import Output, Place, folder

REFUSED = ValueError("Ours: remember is nan at update 7")
PROCESS = """
import json, logging, os, sys, time
from pathlib import Path
from unpromptable.storage import files, lease, once
from unpromptable.storage.place import Output, Place

address, marks, machine = sys.argv[1], Path(sys.argv[2]), sys.argv[5]
seconds, dead = float(sys.argv[3]), float(sys.argv[4])
logging.basicConfig(level="INFO")
lease.EVERY, lease.DEAD, lease.LOOK = 0.1, dead, 0.05
if machine:
    lease.machine = lambda: machine
place = Place(files.mirror(address), "cells/ours-1234", "Ours")
output = Output(place, "unlearn", "unlearned", "k1")

def build(path, bar):
    (marks / str(os.getpid())).touch()
    path.mkdir()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        bar(1, 2)
        (path / "weights.bin").write_text(str(os.getpid()))
        time.sleep(0.02)

marks.with_name(f"ready-{os.getpid()}").touch()
while not marks.with_name("go").exists():
    time.sleep(0.01)
once.guarded(output, build)
assert output.finished() and once.noted(place) is None
print((output.path / "weights.bin").read_text())
"""


@pytest.fixture(params=["volume", "s3"])
def address(request, tmp_path):
    return (
        request.getfixturevalue("s3").format(name="demo")
        if request.param == "s3"
        else str(tmp_path / "store")
    )


@pytest.fixture
def start(address, tmp_path):
    """Start a pod: a process with a disk of its own, whose work takes so many seconds; all are ended with the
    test.
    """
    marks, running = tmp_path / "marks", []
    marks.mkdir()

    def one(seconds=1.0, dead=60.0, machine="", together=1):
        disk = tmp_path / f"disk{len(running)}"
        disk.mkdir()
        words = [
            sys.executable,
            "-c",
            PROCESS,
            address,
            str(marks),
            str(seconds),
            str(dead),
            machine,
        ]
        environment = {**os.environ, "TMPDIR": str(disk), "PYTHONPATH": os.pathsep.join(sys.path)}
        running.append(
            subprocess.Popen(
                words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
        if together == 1:
            (tmp_path / "go").touch()
        return running[-1]

    one.together = lambda number: (
        until(lambda: len(list(tmp_path.glob("ready-*"))) == number),
        (tmp_path / "go").touch(),
    )
    one.made = lambda: sorted(int(p.name) for p in marks.iterdir())
    yield one
    for process in running:
        process.kill()
        process.communicate()


def until(true):
    for _ in range(1500):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen in 30 s")


def ended(process):
    out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return int(out), said


def test_two_processes_on_one_store_both_end_and_the_work_is_done_once(start):
    both = [start(together=2), start(together=2)]
    start.together(2)
    (first, one), (second, other) = map(ended, both)
    assert start.made() == [first] and second == first
    waits = one if "waits for process" in one else other
    assert (
        (one + other).count("waits for process") == 1
        and f"waits for process {first} on " in waits
        and "skipped" in waits
    )


def test_the_lease_of_a_killed_owner_is_taken_over_when_its_heartbeat_stops(start):
    owner = start(60, machine="node 1")
    until(start.made)
    other = start(0.1, dead=1.5, machine="node 2")
    time.sleep(2.5)
    assert len(start.made()) == 1, "taken over from a live owner"
    owner.kill()
    made, said = ended(other)
    assert start.made() == sorted([owner.pid, made]) and made == other.pid
    assert (
        said.count(f"taken over from process {owner.pid} on ") == 1
        and "whose heartbeat stopped 1.5 s ago" in said
    )


def test_the_lease_of_a_process_of_this_machine_that_is_gone_is_taken_over_at_once(start):
    owner = start(60)
    until(start.made)
    owner.kill()
    owner.wait()
    began = time.monotonic()
    made, said = ended(start(0.1, dead=600.0))
    assert time.monotonic() - began < 30 and "whose process is gone" in said


def test_an_owner_that_was_held_up_stops_and_finds_the_work_done(start):
    owner = start(8, dead=1.0, machine="node 1")
    until(start.made)
    os.kill(owner.pid, signal.SIGSTOP)
    made, _ = ended(start(0.1, dead=1.0, machine="node 2"))
    os.kill(owner.pid, signal.SIGCONT)
    took, said = ended(owner)
    assert (
        took == made != owner.pid
        and "was taken over by another while this one was held up" in said
        and "skipped" in said
    )


def test_of_many_that_create_a_file_at_once_one_does(address, tmp_path, monkeypatch):
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    path, made = Path(files.mirror(address)) / "cells" / "x", []
    threads = [
        threading.Thread(target=lambda i=i: made.append(direct.create(path, str(i)) and i)) for i in range(8)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    won = [i for i in made if i is not False]
    assert len(made) == 8 and len(won) == 1 and direct.read(path) == str(won[0])


def test_a_store_that_ignores_the_condition_is_found_out_and_still_gives_a_lease_to_one(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(direct, "SETTLES", 0.5)
    system = type(fsspec.filesystem("file"))
    monkeypatch.setattr(
        system, "pipe_file", lambda self, path, value, mode="": Path(path).write_bytes(value) and None
    )
    path, made = Path(files.mirror(f"file://{tmp_path}/remote")) / "x", []
    threads = [
        threading.Thread(target=lambda i=i: made.append(direct.create(path, str(i)))) for i in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(made) == [False] * 3 + [True] and "ignores If-None-Match" in caplog.text


def test_a_lease_that_was_given_back_is_taken_without_a_wait_and_leaves_one_file(tmp_path):
    said = []
    for _ in range(3):
        with lease.Lease(tmp_path / "x", said.append):
            assert len(list(tmp_path.iterdir())) == 1
    assert not said and [p.name for p in tmp_path.iterdir()] == [".x.lease-3"]


def test_a_lease_half_written_by_a_dead_owner_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "DEAD", 0.2), monkeypatch.setattr(lease, "LOOK", 0.05)
    (tmp_path / ".x.lease-1").write_text('{"ow')
    said = []
    with lease.Lease(tmp_path / "x", said.append):
        assert "another process" in said[0] and "taken over" in said[-1]


def place(tmp_path):
    return Place(str(tmp_path), "cells/ours-1234", "Ours")


def note(tmp_path, step, name, error=REFUSED):
    def build(path, bar):
        if error:
            raise error
        path.write_text("x")

    output = Output(place(tmp_path), step, name, "k1")
    once.guarded(output, build)
    return output.path.exists()


def test_the_failure_of_one_run_does_not_stop_what_another_has_made(tmp_path):
    note(tmp_path, "unlearn", "unlearned")
    assert not note(tmp_path, "sample 0", "samples", None), "the step after a failed one passes by"
    path = place(tmp_path).path("unlearned")
    path.mkdir()
    files.finish(path, "k1")
    assert note(tmp_path, "sample 0", "samples", None)


def test_the_failure_of_a_later_step_does_not_stop_an_earlier_one_of_another_run(tmp_path):
    note(tmp_path, "sample 0", "samples")
    assert note(tmp_path, "unlearn", "unlearned", None)


def test_temporary_names_differ_between_processes_that_have_the_same_number(tmp_path):
    words = [
        sys.executable,
        "-c",
        (
            "import os; os.getpid = lambda: 1\nfrom pathlib import Path\nfrom unpromptable.storage import"
            " names\nprint(names.own(Path('x')))"
        ),
    ]
    run = lambda: (
        subprocess.run(
            words,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    assert run() != run()


def test_a_failure_of_what_all_cells_share_stops_also_the_steps_before_it(tmp_path):
    with once.Shared(str(tmp_path), "sample 0"):
        raise ValueError("no base images")
    assert not note(tmp_path, "unlearn", "unlearned", None)


def test_the_row_of_a_cell_whose_pod_was_killed_says_what_was_at_work(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    text = "name: t\nforget: ['0012-3']\ncells: [{name: Ours, editor: flip}, {name: Other, method: naive}]\n"
    where = str(tmp_path)
    first, _ = plan_step.plan(text, "", {}, where, 0)
    mine_at = folder(where, first)
    with lease.Lease(mine_at / "row.json"):
        pass
    killed = lease.Lease(mine_at / "unlearned")
    killed.__enter__()
    report_step.report(where, text, "FAILED")
    told = {row["folder"]: row["error"] for row in json.loads((tmp_path / "rows.json").read_text())}
    mine = told.pop(f"cells/{mine_at.name}")
    assert (
        mine.startswith(f"did not finish: unlearned (by process {os.getpid()} on ")
        and "killed for memory" in mine
    )
    assert list(told.values()) == ["did not finish"]
    report_step.report(where, text, "CANCELED")
    assert {row["error"] for row in json.loads((tmp_path / "rows.json").read_text())} == {"did not finish"}
    killed.__exit__(None, None, None)

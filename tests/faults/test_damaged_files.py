"""Every file that a run writes, cut off, flipped or gone: the next run heals it and has the same rows."""

import logging
import os
import random
import shutil

import pytest
from small_run import rows, run

pytestmark = pytest.mark.slow
PART = float(os.environ.get("UNPROMPTABLE_FAULTS", "1"))  # share of the files that are tried


def cut(path):
    path.write_bytes(path.read_bytes()[: max(1, path.stat().st_size // 2)])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


DAMAGES = {"cut": cut, "flip": flip, "empty": empty, "gone": lambda path: path.unlink()}
OF_MLFLOW = ("mlflow.db", "mlartifacts")  # its own format: told by the plan, or sent anew by the report


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run."""
    os.environ["MLFLOW_TRACKING_URI"] = "nowhere://x"
    store = tmp_path_factory.mktemp("whole")
    run(store)
    yield store
    del os.environ["MLFLOW_TRACKING_URI"]


def test_a_finished_run_makes_nothing_again(whole, tmp_path):
    store = tmp_path / "copy"
    shutil.copytree(whole, store, copy_function=shutil.copy2)
    before = {p: p.stat().st_mtime_ns for p in store.rglob("*") if p.is_file()}
    assert run(store) == rows(whole)
    again = [p.name for p, time in before.items() if p.exists() and p.stat().st_mtime_ns != time]
    assert not [name for name in again if name.endswith((".safetensors", ".done"))]


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file_of_a_run_is_healed(whole, tmp_path, damage, caplog):
    caplog.set_level(logging.ERROR)
    names = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file() and p.stat().st_size)
    chosen = random.Random(damage).sample(names, max(1, round(PART * len(names))))
    wrong = {}
    for number, name in enumerate(chosen):
        store = tmp_path / str(number)
        shutil.copytree(whole, store)
        DAMAGES[damage](store / name)
        try:
            found = run(store)
        except Exception as error:  # every kind is a finding here
            wrong[str(name)] = f"{type(error).__name__}: {error}"
            continue
        if found != rows(whole):
            wrong[str(name)] = "other rows"
        shutil.rmtree(store)
    assert not wrong, f"{len(wrong)} of {len(chosen)} files"

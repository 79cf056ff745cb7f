"""The store as a folder and as an object store: what one pod finishes, another finds; nothing is done
twice.
"""

import tempfile

import pytest

from unpromptable.execution.opened import opened
from unpromptable.storage import files, once
from unpromptable.storage.place import Output, Place

CELL = "demo/ours-1234"


@pytest.fixture(params=["folder", "s3"])
def address(request, tmp_path):
    return request.getfixturevalue("s3") if request.param == "s3" else f"file://{tmp_path}/remote/{{name}}"


@pytest.fixture
def pod(tmp_path, monkeypatch):
    """Each call is a new pod with an empty disk of its own."""
    numbers = iter(range(100))

    def start():
        scratch = tmp_path / f"pod{next(numbers)}"
        scratch.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    return start


def place(store):
    return Place(store, "cells/ours-1234", "Ours")


def write(address, calls, key="k1", fails=False):
    @opened
    def step(cell: str, store: str):
        def build(path, bar):
            calls.append(store)
            if fails:
                raise ValueError("Ours: remember is nan at update 7")
            path.mkdir()
            (path / "weights.bin").write_bytes(b"w" * 1000)
            (path / "unet").mkdir()
            (path / "unet" / "config.json").write_text("{}")

        once.guarded(Output(place(store), "unlearn", "unlearned", key), build)
        return store

    return step(CELL, address)


def test_what_one_pod_finished_another_fetches_and_does_not_make_again(address, pod):
    calls = []
    pod(), write(address, calls)
    pod()
    there = write(address, calls)
    path = place(there).path("unlearned")
    assert (
        len(calls) == 1
        and (path / "weights.bin").read_bytes() == b"w" * 1000
        and (path / "unet" / "config.json").is_file()
    )
    assert files.address(path).endswith("demo/cells/ours-1234/unlearned") and "://" in files.address(path)
    pod(), write(address, calls, "k2")
    assert len(calls) == 2


def test_a_failure_noted_by_one_pod_is_passed_by_in_the_next(address, pod):
    calls = []
    pod(), write(address, calls, fails=True)
    pod()
    there = write(address, calls)
    assert len(calls) == 1
    assert "remember is nan" in once.noted(place(there))["error"]


def test_a_training_cut_off_in_one_pod_goes_on_in_another(address, pod, tiny, images):
    import copy

    from unpromptable.planning.experiment import Cell
    from unpromptable.planning.settings import Choice, Training
    from unpromptable.unlearning import training

    cell = Cell(
        "Ours",
        Choice("surrogate", {"beta": 1e-3}),
        Choice("flip"),
        Training(steps=3, batch=4, lr=1e-3, save_every=1),
        ("a", "b"),
    )
    from pathlib import Path

    def folder():
        pod()
        return Path(files.mirror(address.format(name="demo"))) / "training"

    whole, cut, fresh = tiny, copy.deepcopy(tiny), copy.deepcopy(tiny)
    training.unlearn(cell, whole, images, folder().with_name("whole"))

    def evicted(done, total, text):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.unlearn(cell, cut, images, folder(), evicted)
    seen = []
    training.unlearn(cell, fresh, images, folder(), lambda done, total, text: seen.append(done))
    assert seen == [5, 6] and all((a == b).all() for a, b in zip(whole.trained(), fresh.trained()))


def test_a_folder_is_used_as_it_is_and_an_unknown_protocol_is_refused(tmp_path):
    assert files.mirror(str(tmp_path)) == str(tmp_path)
    with pytest.raises(ValueError, match="store: nonsense://x cannot be used .* give a folder, or s3://"):
        files.mirror("nonsense://x")


def test_each_experiment_has_a_folder_of_its_own(tmp_path):
    @opened
    def step(cell: str, store: str):
        return store

    assert step(CELL, str(tmp_path / "{name}")) == str(tmp_path / "demo")

"""The command line: bad input is one line and exit code 2, before anything starts."""
import fcntl

import pytest

from pipelines.__main__ import main


def run(capsys, *words):
    code = main(list(words))
    return code, capsys.readouterr().err


@pytest.mark.parametrize("words, message", [
    (["local", "nowhere.yaml"], "experiment: nowhere.yaml is neither a file nor one that ships"),
    (["local", "demo", "--world", "mars"], "world: no 'mars'; choose from miniature, paper"),
    (["local", "demo", "--set", "training.steps"], "--set training.steps: expected key=value"),
    (["local", "demo", "--set", "training.stepps=3"], "did you mean steps"),
    (["local", "demo", "--set", "method.beta=0.01"], "surrogate.beta is 0.01; it must lie in (0, 0.001]"),
    (["local", "demo", "--set", "training.steps=-1"], "training.steps is -1; it must be above 0"),
    (["local", "demo", "--set", "model.source=nowhere/at-all", "--set", "real=nowhere"], "real: nowhere is no folder of images"),
    (["train", ".", "--out", ""], "--out is empty; name a folder"),
    (["train", ".", "--out", "x", "--size", "0"], "--size is 0; it must be at least 1"),
    (["train", "nowhere", "--out", "x"], "real: nowhere is no folder of images"),
])
def test_bad_input_is_one_line_that_says_what_to_do(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, error = run(capsys, *words)
    assert code == 2 and error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_second_run_in_the_same_folder_is_refused(capsys, tmp_path):
    with (tmp_path / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, error = run(capsys, "local", "demo", "--out", str(tmp_path))
    assert code == 2 and "another run is at work there" in error


def test_a_full_disk_is_said_before_the_run(capsys, tmp_path, monkeypatch):
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 << 20))
    code, error = run(capsys, "local", "demo", "--out", str(tmp_path))
    assert code == 2 and "5 MiB free on that disk, at least 1024 are needed" in error

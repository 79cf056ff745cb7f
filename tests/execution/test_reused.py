"""What was trained serves a cell of another name, by its key."""

import shutil
from unittest.mock import Mock

import pytest

from unpromptable.execution import plan_step
from unpromptable.planning import spec as planned
from unpromptable.storage import files

TEXT = "name: t\nforget: ['0012-3']\ncells:\n- {name: Ours, editor: flip}\n"


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A planned run whose cell has a model and a row."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    plan_step.plan(TEXT, "", {}, str(tmp_path))
    (spec,) = planned.read(tmp_path).cells
    model = spec.output(tmp_path, "unlearn", "unlearned", "unlearned")
    files.write_text(model.path / "w.txt", "weights")
    files.finish(model.path, model.key)
    files.write_text(tmp_path / spec.folder / "row.json", "{}")
    return tmp_path


def replanned(store, text):
    """Of each cell's model whether it is there, and nothing of the experiment's own with it."""
    plan_step.plan(text, "", {}, str(store))
    cells = planned.read(store).cells
    found = {s.name: s.output(store, "unlearn", "unlearned", "unlearned").finished() for s in cells}
    assert not any((store / s.folder / "row.json").exists() for s in cells if s.name != "Ours")
    return found


def test_a_renamed_cell_and_one_of_the_same_settings_take_over_what_was_trained(trained):
    twin = f"{TEXT}- {{name: Twin, editor: flip}}\n"
    assert replanned(trained, twin.replace("Ours", "Plain")) == {"Plain": True, "Twin": True}


def test_a_cell_of_other_settings_takes_over_nothing(trained):
    assert replanned(trained, TEXT.replace("Ours", "Plain").replace("flip", "noise")) == {"Plain": False}


def test_a_cell_that_cannot_be_taken_is_made_anew(trained, monkeypatch, caplog):
    gone = FileNotFoundError("cells/ours/samples.tmp: another pod finished it")
    monkeypatch.setattr(shutil, "copytree", Mock(side_effect=gone))
    assert replanned(trained, TEXT.replace("Ours", "Plain")) == {"Plain": False}
    assert "another pod finished it), so it is made anew" in caplog.text


def test_nothing_is_taken_of_a_model_that_was_not_finished(trained):
    (mark,) = trained.glob("cells/*/.unlearned*")
    mark.unlink()
    assert replanned(trained, TEXT.replace("Ours", "Plain")) == {"Plain": False}
    assert len(list((trained / "cells").iterdir())) == 1

"""unlearn keeps what it computed until the model lies in the store, and takes models from elsewhere."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_run

from unpromptable import data
from unpromptable.execution import plan_step, prepare_step, sample_step, score_step, unlearn_step
from unpromptable.planning import plan
from unpromptable.planning import spec as planned
from unpromptable.storage import attempts, files
from unpromptable.unlearning import noting

ONE = small_run.TEXT.replace("- {name: Naive, method: naive, editor: flip}\n", "")


@pytest.fixture
def updates(monkeypatch):
    """The updates that are computed, as they are."""
    seen, real = [], noting.Noting.update
    monkeypatch.setattr(noting.Noting, "update", lambda self, *a: (seen.append(a[3] + 1), real(self, *a))[1])
    monkeypatch.setattr(attempts, "PAUSE", 0)
    return seen


@pytest.mark.parametrize("name", ["finish", "save"])
def test_a_model_that_could_not_be_kept_at_once_costs_no_update(tmp_path, monkeypatch, updates, name):
    from unpromptable.models.families.ddpm import Model

    where, failed = {"finish": files, "save": Model}[name], []
    real = getattr(where, name)

    def once_failing(*args):
        if not failed and any(Path(a).name.startswith("unlearned") for a in args if isinstance(a, Path)):
            failed.append(1)
            raise OSError(errno.EIO, "the upload broke off")
        return real(*args)

    monkeypatch.setattr(where, name, once_failing)
    text = ONE.replace("steps: 2, batch: 2, save_every: 1", "steps: 6, batch: 2, save_every: 4")
    (cell,) = plan_step.plan(text, "", {}, str(tmp_path))
    prepare_step.prepare(text, str(tmp_path))
    unlearn_step.unlearn(cell, str(tmp_path), "")
    _, spec = planned.one(str(tmp_path), cell)
    folder = tmp_path / spec.folder
    assert failed and updates == [1, 2, 3, 4, 5, 6] and (folder / "unlearned" / "unet").is_dir()
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [one["step"] for one in lines] == [1, 2, 3, 4, 5, 6]
    assert not (folder / "training").exists()


def given(folder):
    return ONE.replace("{name: Ours, editor: flip}", f"{{name: Theirs, unlearned: {folder}}}")


def test_a_model_from_elsewhere_draws_as_the_base_does_whatever_its_own_scheduler_says(tmp_path, caplog):
    shipped = Path(unlearn_step.__file__).parents[1] / "miniature" / "ddpm"
    shutil.copytree(shipped, tmp_path / "theirs")
    file = tmp_path / "theirs" / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "timestep_spacing": "trailing"}))
    store = str(tmp_path / "run")
    run, (cell,) = small_run.begin(store, given(tmp_path / "theirs"))
    assert "drawn by the base's scheduler; its own says timestep_spacing trailing, not" in caplog.text
    sample_step.sample(cell, store, 0, 1)
    drawn = lambda path: data.load(path, "samples")[0]["samples"]
    score_step.score(cell, store)
    mine = Path(store) / run.cells[0].folder / "after.safetensors"
    np.testing.assert_array_equal(drawn(mine), drawn(Path(store) / "shared" / "before.safetensors"))


def test_a_model_of_another_kind_is_refused_by_the_plan(tmp_path):
    from ddpm_small import pipeline

    pipeline("v_prediction").save_pretrained(tmp_path / "theirs")
    with pytest.raises(ValueError, match="theirs.* has pixels 8 where the base model has 32, prediction"):
        plan.resolve(given(tmp_path / "theirs"))

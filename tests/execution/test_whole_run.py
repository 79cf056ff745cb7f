"""The steps one after another: what changes between them, and what their files hold."""

import json

import numpy as np
import pytest
from PIL import Image
from small_run import TEXT, run

from unpromptable.execution import plan_step, prepare_step
from unpromptable.storage import once

SECRETS = {
    "HF_TOKEN": "hf_plantedtoken",
    "AWS_SECRET_ACCESS_KEY": "planted-s3-key",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-word",
    "UNPROMPTABLE_TRACKING_PASSWORD": "planted-pod-word",
    "KFP_TOKEN": "planted-bearer",
    "MLFLOW_TRACKING_URI": "http://me:planted-address@127.0.0.1:9",
}


def test_no_secret_of_the_environment_reaches_a_file_or_a_log(tmp_path, monkeypatch, caplog):
    caplog.set_level("DEBUG", "unpromptable")
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    assert [row["status"] for row in run(tmp_path)] == ["done", "done"]
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) > 40
    assert not [p for p in files if b"planted" in p.read_bytes()] and "planted" not in caplog.text
    assert "cannot be used" in caplog.text, "the server that is away is said, without its password"


@pytest.fixture
def photos(tmp_path):
    """An experiment on a folder of pictures, one of which is the target."""
    for i in range(4):
        picture = np.full((32, 32, 3), 40 * i, np.uint8)
        picture[: 8 * i] = 255 - 40 * i
        (tmp_path / "real").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "real" / f"{i}.png")
    given = f"real: {tmp_path}/real\nmodel: {{source: miniature}}\nnetworks: miniature\nforget: [1.png]"
    return tmp_path, TEXT.replace("forget: ['0012-3']", given)


@pytest.mark.parametrize("changed", ["a real image", "the target", "nothing"])
def test_a_picture_that_changes_between_plan_and_prepare_stops_the_run(photos, monkeypatch, changed):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    folder, text = photos
    store = str(folder / "run")
    assert len(plan_step.plan(text, "", {}, store)) == 2
    path = folder / "real" / ("2.png" if changed == "a real image" else "1.png")
    if changed != "nothing":
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    shared = prepare_step.prepare(text, store)
    if changed == "nothing":
        assert shared and once.failure(store) is None
    else:
        assert not shared and "changed since the run was planned" in once.failure(store)["error"]
        assert len(plan_step.plan(text, "", {}, store)) == 2 and prepare_step.prepare(text, store)


def test_a_run_of_the_same_inputs_has_the_same_rows_wherever_it_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    first, second = run(tmp_path / "one"), run(tmp_path / "another place")
    assert json.dumps(first) == json.dumps(second)

"""The run that purges begin from."""

import shutil
from pathlib import Path

import pytest
from secret_pictures import Secrets, fill, plan_run


@pytest.fixture
def secrets():
    return Secrets()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run of two cells with a database of its own."""
    where = tmp_path_factory.mktemp("made") / "run"
    where.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        plan_run(where)
        fill(where, Secrets())
    return where


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """A copy of it for every test."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Path(shutil.copytree(made, tmp_path / "run"))

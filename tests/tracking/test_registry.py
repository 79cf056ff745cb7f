"""A series in MLflow's registry: what a version holds, how it is loaded, and who is the champion."""

import socket

import numpy as np
import pytest
from mlflow_server import start

from unpromptable.planning.settings import Sampling
from unpromptable.sampling import chains
from unpromptable.tracking import connection, registry

DRAWN = {"family": "ddpm", "sampler": "ddim", "steps": 2, "batch": 4}


@pytest.fixture(scope="module")
def release(tmp_path_factory, tiny_parts):
    """A release's folder of the tiny model."""
    from unpromptable.models.families.ddpm import Model

    folder = tmp_path_factory.mktemp("of-jane-doe") / "release"
    Model(*tiny_parts).save(folder / "model")
    (folder / "certificate.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory, release):
    """A series of three versions, the second of which is the champion and the third the candidate."""
    folder = tmp_path_factory.mktemp("faces")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for number in "123":
            assert registry.register(folder, "faces", release, f"r{number}", "m", DRAWN) == number
            if number != "3":
                candidate = registry.version(folder, "faces", registry.CANDIDATE)
                registry.promote(folder, "faces", candidate)
        yield folder


def loaded(address, name):
    """Which is how anyone would load it."""
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", address)
        return mlflow.pyfunc.load_model(name), mlflow.artifacts.download_artifacts(name)


def agrees(address, tiny):
    """A version gives, seed by seed, the pictures that the model draws; stock diffusers reads its folder."""
    from diffusers import DiffusionPipeline

    model, copy = loaded(address, "models:/faces@champion")
    wanted, _ = chains.sample(tiny, Sampling(steps=2, batch=4, images=8), 0, 6)
    found = model.predict([5, 0, 1, 2, 3, 4])
    assert found.dtype == np.uint8 and np.array_equal(found, wanted[[5, 0, 1, 2, 3, 4]])
    pipe = DiffusionPipeline.from_pretrained(f"{copy}/artifacts/release/model")
    weights = pipe.unet.state_dict()
    return all(np.array_equal(weights[k].numpy(), v.numpy()) for k, v in tiny.state().items())


def test_a_version_is_loaded_by_pyfunc_and_by_diffusers(folder, tiny):
    assert agrees(connection.uri(str(folder)), tiny)


def test_a_version_says_nothing_of_the_folder_that_it_came_from(folder, release):
    held = [p for p in folder.rglob("*") if p.is_file()]
    assert len(held) > 3 * 8 and not [p for p in held if b"jane-doe" in p.read_bytes()]
    assert not [p for p in held if p.suffix in (".pkl", ".pickle", ".bin", ".pt")]


def test_candidate_champion_and_the_one_before_are_told_apart(folder):
    champion, candidate = (registry.version(folder, "faces", a) for a in ("champion", "candidate"))
    assert (champion.number, champion.before, candidate.number) == ("2", "1", "3")
    assert registry.version(folder, "others", "champion") is None
    assert (registry.fetched(folder, "faces", champion) / "certificate.json").read_text() == "{}"


def test_the_same_release_of_the_same_request_is_registered_once(folder, release):
    assert registry.register(folder, "faces", release, "r3", "m", DRAWN) == "3"
    with pytest.raises(ValueError, match="cannot be used"):
        registry.numbered(folder, "faces", "4")


def test_after_a_rollback_the_one_before_is_the_champion(folder, release):
    other = registry.register(folder, "rolled", release, "a", "m", DRAWN)
    for request in ("a", "b"):
        registry.register(folder, "rolled", release, request, "m", DRAWN)
        registry.promote(folder, "rolled", registry.version(folder, "rolled", registry.CANDIDATE))
    registry.back(folder, "rolled", registry.version(folder, "rolled", registry.CHAMPION))
    now = registry.version(folder, "rolled", registry.CHAMPION)
    assert (now.number, now.before) == (other, "")
    assert registry.version(folder, "rolled", registry.CANDIDATE) is None


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "nowhere://x"])
def test_a_registry_that_is_away_is_said_in_one_line(tmp_path, monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(ValueError, match="series: the model registry .* cannot be used") as refused:
        registry.version(tmp_path, "faces", registry.CHAMPION)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_server_holds_a_series_and_gives_it_back(tmp_path, monkeypatch, release, tiny):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    server = start(tmp_path, port)
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        registry.register(tmp_path, "faces", release, "r", "m", DRAWN)
        registry.promote(tmp_path, "faces", registry.version(tmp_path, "faces", registry.CANDIDATE))
        champion = registry.version(tmp_path, "faces", registry.CHAMPION)
        for _ in range(2):
            copy = registry.fetched(tmp_path, "faces", champion)
            assert copy == tmp_path / "versions/1" and (copy / "model/model_index.json").is_file()
        assert agrees(f"http://127.0.0.1:{port}", tiny)
    finally:
        server.terminate()
        server.wait()

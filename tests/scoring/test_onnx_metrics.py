"""Metrics of an ONNX file: identity, FD_DINOv2 and CMMD, on a network whose values are known."""

import dataclasses

import numpy as np
import pytest
import small_onnx
from metric_evidence import evidence, images

from unpromptable.planning import plugins
from unpromptable.scoring import frechet, metric_networks, onnx_files
from unpromptable.scoring.metrics import cmmd

NETWORKS = metric_networks.load("miniature")


@pytest.fixture
def model(tmp_path):
    return str(small_onnx.written(tmp_path / "n.onnx"))


def injected(**sides):
    """Evidence on two targets, whose denoised pictures are given."""
    forget = {"p-8": images(1, seed=5)[0], "p-9": images(1, seed=6)[0]}
    return dataclasses.replace(evidence(), forget=forget, surrogates=forget, **sides)


def test_identity_is_0_of_the_target_itself_and_the_angle_of_another(model):
    forget = injected().forget
    shown = injected(
        injected_before={t: np.stack([x] * 3) for t, x in forget.items()},
        injected_after={t: np.stack([x[:, :, ::-1]] * 3) for t, x in forget.items()},
    )
    found = plugins.make("metric", "identity", {"model": model}).measure(shown, NETWORKS)
    network, apart = onnx_files.load(model, ""), []
    for x in forget.values():
        a, b = network(np.stack([x, x[:, :, ::-1]])).double().numpy()
        apart.append(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert found["identity_before"].mean == pytest.approx(0, abs=1e-6)
    assert found["identity"].mean == pytest.approx(np.mean(apart), abs=1e-6) and min(apart) > 1e-4
    assert found["identity_pair"].mean == pytest.approx(found["identity"].mean, abs=1e-6)
    assert {e.n for e in found.values()} == {2}  # targets


def test_identity_of_one_target_counts_draws_and_means_and_deviations_are_read(model):
    draws = images(3, seed=2)
    shown = evidence(injected_before={"t": draws}, injected_after={"t": draws})
    plain = plugins.make("metric", "identity", {"model": model}).measure(shown, NETWORKS)
    centred = {"model": model, "mean": [127.5] * 3, "deviation": [127.5] * 3, "channels": "bgr"}
    moved = plugins.make("metric", "identity", centred).measure(shown, NETWORKS)
    assert plain["identity"].n == moved["identity"].n == 3
    assert moved["identity"].mean > 5 * plain["identity"].mean  # without the mean all pictures point one way


@pytest.mark.parametrize(
    "given, words",
    [
        ({"deviation": [1, 0, 1]}, "identity.deviation is .* above 0"),
        ({"mean": [float("nan"), 0, 0]}, "identity.mean"),
        ({"channels": "grb"}, "channels"),
        ({"size": -1}, "size"),
    ],
)
def test_wrong_settings_of_identity_are_named(given, words):
    with pytest.raises(ValueError, match=words):
        plugins.make("metric", "identity", given)


def test_fd_dinov2_is_the_frechet_distance_of_the_files_features(model):
    shown = evidence(before=images(40), after=images(40, seed=1), real=images(60, seed=2))
    found = plugins.make("metric", "fd_dinov2", {"model": model}).measure(shown, NETWORKS)
    network = onnx_files.load(model, "", shown_as("fd_dinov2"))
    before, after, real = (network(x).numpy() for x in (shown.before, shown.after, shown.real))
    of = frechet.statistics
    assert found["fd_dinov2"].mean == pytest.approx(frechet.distance(of(after), of(before)))
    assert found["fd_dinov2_real"].mean == pytest.approx(frechet.distance(of(after), of(real)))
    assert found["fd_dinov2_floor"].mean == pytest.approx(frechet.distance(of(before), of(real)))
    assert found["fd_dinov2"].n == 40


def shown_as(name):
    """What a metric says of its network's input."""
    from importlib import import_module

    return import_module(f"unpromptable.scoring.metrics.{name}").SHOWN


def test_cmmd_is_the_gaussian_mmd_written_out():
    g = np.random.default_rng(0)
    a, b = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (g.normal(size=(6, 5)), g.normal(size=(4, 5)))
    )
    k = lambda x, y: np.exp(-np.sum((x - y) ** 2) / 200)
    within = lambda s: np.mean([k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j])
    across = np.mean([k(x, y) for x in a for y in b])
    assert cmmd.distance(a, b) == pytest.approx(1000 * (within(a) + within(b) - 2 * across), abs=1e-9)
    pairs = np.mean([k(a[i], b[j]) for i in range(4) for j in range(4) if i != j])
    wanted = 1000 * (within(a[:4]) + within(b) - 2 * pairs)
    assert cmmd.distance(a[:4], b, paired=True) == pytest.approx(wanted, abs=1e-9)


def test_cmmd_is_about_0_of_one_distribution_and_more_of_another(model):
    metric = plugins.make("metric", "cmmd", {"model": model, "block": 20})
    dark = images(80, seed=1) // np.array([1, 2, 4], np.uint8)
    same = evidence(before=images(80), after=images(80, seed=3), real=images(80, seed=4))
    near = metric.measure(same, NETWORKS)["cmmd"]
    far = metric.measure(dataclasses.replace(same, after=dark, kept={}), NETWORKS)["cmmd"]
    assert near.low < 0 < near.high and far.low > near.high and near.n == far.n == 4


def test_cmmd_and_fd_dinov2_refuse_what_is_no_pairs_and_too_few(model):
    for name in ("cmmd", "fd_dinov2"):
        with pytest.raises(ValueError, match=f"{name}: 40 images before, 39 after are no pairs"):
            uneven = evidence(before=images(40), after=images(39))
            plugins.make("metric", name, {"model": model}).measure(uneven, NETWORKS)
    with pytest.raises(ValueError, match="cmmd: 3 images make no two blocks"):
        cmmd.blocks(np.ones((3, 2)), np.ones((9, 2)), 10)
    with pytest.raises(ValueError, match="cmmd.block is 1"):
        plugins.make("metric", "cmmd", {"block": 1})


@pytest.mark.parametrize("name", ["identity", "fd_dinov2", "cmmd"])
def test_a_metric_without_its_network_is_refused_before_a_run(name):
    with pytest.raises(ValueError, match=f"{name}.model is not given"):
        plugins.make("metric", name).files()
    with pytest.raises(FileNotFoundError, match=f"{name}.model: gone.onnx is not a file"):
        plugins.make("metric", name, {"model": "gone.onnx"}).files()


def test_features_before_are_kept_for_all_cells_under_their_network(model, tmp_path, monkeypatch):
    shown = evidence(
        before=images(8), after=images(8, seed=1), real=images(8, seed=2), cache=tmp_path / "kept"
    )
    metric = plugins.make("metric", "cmmd", {"model": model, "block": 4})
    first, looked = metric.measure(shown, NETWORKS), []
    call = onnx_files.Network.__call__
    monkeypatch.setattr(
        onnx_files.Network, "__call__", lambda self, x: looked.append(len(x)) or call(self, x)
    )
    assert metric.measure(dataclasses.replace(shown, kept={}), NETWORKS) == first and looked == [8]  # after
    small_onnx.written(tmp_path / "n.onnx", times=2.0, parts=2)
    metric.measure(dataclasses.replace(shown, kept={}), NETWORKS)
    assert looked == [8, 8, 8, 8]

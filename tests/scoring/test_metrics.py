"""Metrics of samples equal the published functions on the same tensors; what is shared is measured once."""

import dataclasses

import numpy as np
import pytest
import torch
from metric_evidence import evidence, images, quick, shipped

from unpromptable.miniature import flags, portraits
from unpromptable.planning import plugins
from unpromptable.scoring import frechet, metric_networks
from unpromptable.scoring.evidence import Evidence, Models
from unpromptable.scoring.metrics import kid, ssim

RNG = np.random.default_rng(0)


def test_ssim_follows_wang_2004():
    """Against the formula written out in float64 with an 11 x 11 Gaussian, valid windows averaged."""
    a, b = images(1, 24)[0], images(1, 24, 1)[0]
    b = (a * 0.7 + b * 0.3).astype(np.uint8)
    axis = np.exp(-((np.arange(11) - 5) ** 2) / 4.5)
    kernel = np.outer(axis, axis) / axis.sum() ** 2
    mean = lambda x: np.stack(
        [[(x[i : i + 11, j : j + 11] * kernel[..., None]).sum((0, 1)) for j in range(14)] for i in range(14)]
    )
    x, y = a / 255.0, b / 255.0
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    value = ((2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))).mean()
    assert ssim.similarity(a[None], b[None])[0] == pytest.approx(value, abs=1e-12)


def test_ssim_is_torchmetrics_own_at_windows_inside_the_picture_and_no_batch_changes_it():
    from torchmetrics.functional.image import structural_similarity_index_measure as theirs

    a = np.stack([portraits.picture(n, 3) for n in range(200)])
    b = np.roll(a, 1, 2)
    asked = {"data_range": 1.0, "reduction": "none", "return_full_image": True}
    maps = theirs(metric_networks.unit(a).double(), metric_networks.unit(b).double(), **asked)[1]
    ours = ssim.similarity(a, b)
    np.testing.assert_allclose(ours, maps[..., 5:-5, 5:-5].mean((1, 2, 3)), atol=1e-7)
    assert ours[150] == ssim.similarity(a[150:151], b[150:151])[0]


def test_ssim_equals_scikit_images_and_not_torchmetrics_that_counts_mirrored_borders():
    from skimage.metrics import structural_similarity
    from torchmetrics.functional.image import structural_similarity_index_measure as mirrored

    a = portraits.picture(4, 3)
    b = a.copy()
    b[:3] = b[-3:] = b[:, :3] = b[:, -3:] = 0  # what differs most lies at the border
    theirs = structural_similarity(
        a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    ours = ssim.similarity(a[None], b[None])[0]
    assert (
        ours == pytest.approx(theirs, abs=1e-12)
        and ours
        - float(mirrored(metric_networks.unit(a[None]), metric_networks.unit(b[None]), data_range=1.0))
        > 0.05
    )


def test_rates_count_what_the_forget_and_the_remember_images_show():
    wrong, right = flags.picture("japan", 5), np.stack([flags.repaint(f"japan-{k:04d}") for k in range(20)])
    other = flags.picture("peru", 0)
    before, after = np.stack([wrong, wrong, right[0], other]), np.stack([right[1], wrong, right[2], other])
    shown = evidence(
        before=before, after=after, forget={"t": wrong}, remember=right, others_before=None, others_after=None
    )
    for networks in ("flags", "miniature"):
        network = metric_networks.load("flags")
        network = network if networks == "flags" else dataclasses.replace(network, classify=None)
        found = plugins.make("metric", "wrong").measure(shown, network)
        assert {k: found[k].mean for k in found} == {
            "wrong": 0.25,
            "right": 0.5,
            "wrong_before": 0.5,
            "right_before": 0.25,
        }, networks
    kept = plugins.make("metric", "lpips_kept").measure(shown, metric_networks.load("flags"))
    assert kept["lpips_kept"].n == 2 and "lpips_others" not in kept


def test_a_prompt_that_is_lost_shows_beside_those_that_are_kept():
    before = np.stack(
        [flags.picture("peru", k // 2) if k % 2 else flags.picture("laos", k // 2) for k in range(8)]
    )
    after = before.copy()
    after[1::2] = flags.picture("japan", 0)
    asked = ("flag of Laos", "flag/of|Peru")
    shown = evidence(
        before=before,
        after=before,
        forget={"t": flags.picture("japan", 5)},
        remember=before,
        others_before=before,
        others_after=after,
        seeds=tuple(range(1_000, 1_008)),
        prompts=asked,
    )
    found = plugins.make("metric", "lpips_kept").measure(shown, metric_networks.load("flags"))
    laos, peru = found["lpips_prompts/00 flag of Laos"], found["lpips_prompts/01 flag-of-Peru"]
    assert (
        laos.mean == 0
        and laos.n == peru.n == 4
        and peru.mean > 0.3
        and found["lpips_prompt_most"] == peru
        and found["lpips_others"].mean == pytest.approx(peru.mean / 2)
    )
    moved = plugins.make("metric", "lpips_kept").measure(
        dataclasses.replace(shown, seeds=tuple(range(1, 9))), metric_networks.load("flags")
    )
    assert moved["lpips_prompts/01 flag-of-Peru"].mean == 0


def test_kid_is_torchmetrics_formula_where_numbers_agree_and_by_hand_where_they_do_not():
    from torchmetrics.image.kid import poly_mmd

    a, b = RNG.normal(size=(20, 6)), RNG.normal(0.4, 1.2, (20, 6))
    theirs = poly_mmd(torch.from_numpy(a), torch.from_numpy(b)).item()
    assert kid.distance(a, b) == pytest.approx(theirs, rel=1e-12)
    x, y = np.array([[1.0], [2.0]]), np.array([[0.0], [1.0], [3.0]])
    # (xy + 1)^3: within x 27; within y 1, 1, 64; across 1, 8, 64 and 1, 27, 343
    assert kid.distance(x, y) == pytest.approx(27 + (1 + 1 + 64) / 3 - 2 * (1 + 8 + 64 + 1 + 27 + 343) / 6)


def test_kid_of_pairs_that_agree_is_zero_and_a_block_is_every_kth_image():
    a, b = RNG.normal(size=(2, 9, 5))
    assert kid.distance(a, a, paired=True) == pytest.approx(0, abs=1e-12) and kid.distance(a, a) < -1e-3
    assert kid.blocks(a, b, 3) == pytest.approx([kid.distance(a[k::3], b[k::3]) for k in range(3)])
    with pytest.raises(ValueError, match="kid: 3 images make no two blocks"):
        kid.blocks(a[:3], b, 2)


def test_what_the_base_model_alone_decides_is_measured_once_for_all_cells(tmp_path, monkeypatch):
    networks, calls = metric_networks.load("miniature"), []
    counted = dataclasses.replace(
        networks,
        features=lambda x: calls.append(len(x)) or networks.features(x),
        descriptor=lambda x: calls.append(len(x)) or networks.descriptor(x),
    )
    real_interval = frechet.interval
    distances = lambda *a, **k: calls.append("distance") or real_interval(*a, **k)
    monkeypatch.setattr(frechet, "interval", distances)
    found = []
    for _ in range(2):
        calls.clear()
        shown = evidence(cache=tmp_path)
        measured = (plugins.make("metric", name).measure(shown, counted) for name in ("fid_real", "nearest"))
        found.append([dataclasses.astuple(e) for each in measured for e in each.values()])
    assert found[0] == found[1] and sorted(map(str, calls)) == ["1", "40", "40", "distance"]


def test_the_base_model_denoises_once_for_all_cells_at_its_worst(tmp_path, monkeypatch):
    shown, loaded = dataclasses.replace(shipped(), cache=tmp_path), []
    load = Models.load
    monkeypatch.setattr(Models, "load", lambda self, which: loaded.append(which) or load(self, which))
    first, second = (quick("sscd_worst").measure(shown, metric_networks.load("miniature")) for _ in range(2))
    assert first == second and sorted(loaded) == ["after", "after", "before"]


def test_features_of_before_are_computed_once_for_all_cells(tmp_path):
    networks = metric_networks.load("miniature")
    first = evidence(cache=tmp_path).features("before", networks)
    assert len(list(tmp_path.glob("features-before-*"))) == 1
    np.testing.assert_array_equal(evidence(cache=tmp_path).features("before", networks), first)


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("likelihood", {"models": None}, "the evidence holds images alone"),
        ("relearn", {"names": ("q-0",) * 60}, "no other picture of p-9 among the real images; name a folder"),
    ],
)
def test_a_metric_without_what_it_needs_says_so(name, change, words):
    import dataclasses

    with pytest.raises(ValueError, match=words):
        quick(name).measure(dataclasses.replace(shipped(), **change), metric_networks.load("miniature"))


@pytest.mark.parametrize(
    "name, settings, words",
    [
        ("sscd_worst", {"draws": 0}, "draws 0"),
        ("likelihood", {"probes": 0}, "probes are 0"),
        ("relearn", {"every": 3}, "every must divide updates"),
        ("kid", {"block": 1}, "kid.block is 1"),
    ],
)
def test_wrong_settings_of_a_metric_are_named(name, settings, words):
    with pytest.raises(ValueError, match=words):
        plugins.make("metric", name, settings)


@pytest.mark.parametrize("change", ["base", "prompt", "settings", "target", "nothing"])
def test_what_the_base_model_scores_is_kept_under_its_files_prompt_settings_and_targets(tmp_path, change):
    from dataclasses import replace

    from unpromptable.planning.experiment import Experiment

    (tmp_path / "base").mkdir(), (tmp_path / "kept").mkdir()
    (tmp_path / "base" / "w").write_text("one")
    experiment = Experiment("t", "miniature", "miniature", ("a",))
    black, white = (np.full((8, 8, 3), v, np.uint8) for v in (0, 255))

    def kept(settings, target, prompt=""):
        asked = replace(experiment)
        object.__setattr__(asked, "prompt", prompt)
        nothing = np.zeros((1, 8, 8, 3), np.uint8)
        e = Evidence(
            nothing,
            nothing,
            nothing,
            {},
            {},
            {"a": target},
            {},
            tmp_path / "kept",
            models=Models(asked, tmp_path / "base", tmp_path),
        )
        return e.shared("likelihood", settings, lambda: calls.append(1) or {"a": [len(calls)]})

    calls = []
    kept({"probes": 8}, black)
    if change == "base":
        (tmp_path / "base" / "w").write_text("two")
    kept(
        {"probes": 4 if change == "settings" else 8},
        white if change == "target" else black,
        "a flag" if change == "prompt" else "",
    )
    assert len(calls) == (1 if change == "nothing" else 2)

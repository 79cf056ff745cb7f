"""Metrics equal the published functions on the same tensors, and the shipped descriptor does what a copy
detector does.
"""

import dataclasses
import hashlib
import shutil

import numpy as np
import pytest
import small_onnx
import torch

from unpromptable.miniature import flags, portraits
from unpromptable.models import published as weights
from unpromptable.planning import pinned, plugins
from unpromptable.planning.settings import Networks
from unpromptable.pretraining import descriptor as descriptor_training
from unpromptable.pretraining import flag_descriptor as flags_training
from unpromptable.sampling import chains
from unpromptable.scoring import frechet, metric_networks
from unpromptable.scoring.estimates import estimate, of_one, over_targets
from unpromptable.scoring.evidence import Evidence, Models
from unpromptable.scoring.metrics import kid, ssim, wrong

RNG = np.random.default_rng(0)


def images(n, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def evidence(**change):
    a, b = images(40), images(40, seed=1)
    one = {"t": images(3, seed=2)}
    given = {
        "before": a,
        "after": b,
        "real": images(60, seed=3),
        "remember": images(30, seed=6),
        "others_before": images(9, seed=7),
        "others_after": images(9, seed=8),
        "injected_before": one,
        "injected_after": one,
        "forget": {"t": images(1, seed=4)[0]},
        "surrogates": {"t": images(1, seed=5)[0]},
    }
    return Evidence(**{**given, **change})


def test_frechet_distance_equals_pytorch_fids():
    from pytorch_fid.fid_score import calculate_frechet_distance

    a, b = RNG.normal(size=(300, 24)), RNG.normal(0.3, 1.4, (200, 24))
    sa, sb = frechet.statistics(a), frechet.statistics(b)
    assert frechet.distance(sa, sb) == pytest.approx(
        calculate_frechet_distance(sa.mean, sa.covariance, sb.mean, sb.covariance), rel=1e-7
    )


@pytest.mark.parametrize("n", [8, 30, 31, 400])
def test_frechet_distance_is_that_of_singular_values_with_fewer_images_than_features_too(n):
    """Tr (S_a S_b)^1/2 sums the singular values of X_a X_b^T, X the centred features by (n-1)^1/2."""
    a, b = RNG.normal(size=(n, 30)), RNG.normal(0.3, 1.4, (50, 30))
    x, y = ((f - f.mean(0)) / (len(f) - 1) ** 0.5 for f in (a, b))
    roots = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    value = np.square(a.mean(0) - b.mean(0)).sum() + np.square(x).sum() + np.square(y).sum() - 2 * roots
    sa, sb = frechet.statistics(a), frechet.statistics(b)
    assert frechet.distance(sa, sb) == pytest.approx(value, rel=1e-10) == frechet.distance(sb, sa)


@pytest.mark.parametrize("paired", [True, False])
def test_the_jackknife_is_that_of_covariances_made_anew_without_each_tenth(paired):
    a, b = (RNG.normal(mean, 1, (2057, 8)).astype(np.float32) for mean in (0.1, 5))
    made = lambda x: frechet.Statistics(x.mean(0, dtype=float), np.cov(x.astype(float), rowvar=False), len(x))
    part = np.arange(2057) % 10
    left = [frechet.distance(made(a[part != g]), made(b[part != g] if paired else b)) for g in range(10)]
    half = 1.96 * np.sqrt(0.9 * np.square(np.array(left) - np.mean(left)).sum())
    whole = frechet.distance(made(a), made(b))
    assert frechet.interval(a, b, paired) == pytest.approx((whole, whole - half, whole + half), rel=1e-9)


def test_features_that_are_not_finite_have_no_distance():
    broken = RNG.normal(size=(9, 4))
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="frechet: features are not finite"):
        frechet.interval(broken, RNG.normal(size=(9, 4)), paired=True)


def test_frechet_distance_of_a_set_to_itself_is_zero_even_with_fewer_images_than_features():
    a = frechet.statistics(RNG.normal(size=(10, 30)))
    assert frechet.distance(a, a) == pytest.approx(0, abs=1e-6)


def test_the_jackknife_interval_holds_the_value_and_narrows_with_n():
    draw = lambda n: (RNG.normal(size=(n, 6)), RNG.normal(0.5, 1, (n, 6)))
    (few, low, high), (_, lower, higher) = (
        frechet.interval(*draw(100), paired=False),
        frechet.interval(*draw(3000), paired=False),
    )
    assert low <= few <= high and higher - lower < (high - low) / 2


def test_fid_pre_refuses_unequal_numbers_of_images():
    with pytest.raises(ValueError, match="40 images before, 39 after"):
        plugins.make("metric", "fid_pre").measure(
            evidence(after=images(39)), metric_networks.load("miniature")
        )


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Files in the published formats and architectures, with random weights."""
    folder = tmp_path_factory.mktemp("weights")
    import torchvision
    from pytorch_fid import inception

    torch.manual_seed(0)
    alex = torchvision.models.alexnet(weights=None)
    torch.save(alex.state_dict(), folder / "alexnet-owt-7be5be79.pth")
    fid = inception.fid_inception_v3.__globals__["_inception_v3"](
        num_classes=1008, aux_logits=False, weights=None
    )
    for name, block in (("Mixed_5b", (192, 32)), ("Mixed_5c", (256, 64)), ("Mixed_5d", (288, 64))):
        setattr(fid, name, inception.FIDInceptionA(block[0], pool_features=block[1]))
    for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        setattr(fid, name, inception.FIDInceptionC(768, channels_7x7=width))
    fid.Mixed_7b, fid.Mixed_7c = inception.FIDInceptionE_1(1280), inception.FIDInceptionE_2(2048)
    torch.save(fid.state_dict(), folder / "pt_inception-2015-12-05-6726825d.pth")
    sscd = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(192, 512))
    torch.jit.trace(sscd, torch.zeros(1, 3, 288, 288)).save(str(folder / "sscd_disc_mixup.torchscript.pt"))
    return folder


@pytest.fixture
def unverified(monkeypatch):
    """Test files have other checksums than the published ones."""
    monkeypatch.setattr(weights, "FILES", {n: weights.File(n, f.url, "") for n, f in weights.FILES.items()})


def test_lpips_and_inception_equal_their_packages_own(published, unverified, monkeypatch):
    import lpips
    import torchvision
    from pytorch_fid import inception

    ours = metric_networks._lpips(published).eval()
    alex = torchvision.models.alexnet(weights=None)
    alex.load_state_dict(torch.load(published / "alexnet-owt-7be5be79.pth"))
    monkeypatch.setattr(lpips.pretrained_networks.tv, "alexnet", lambda *_, **__: alex)
    theirs = lpips.LPIPS(net="alex", verbose=False).eval()
    a, b = metric_networks.unit(images(3, 64)), metric_networks.unit(images(3, 64, 1))
    with torch.no_grad():
        torch.testing.assert_close(ours(a, b, normalize=True), theirs(a, b, normalize=True))
    state = torch.load(published / "pt_inception-2015-12-05-6726825d.pth")
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: state)
    with torch.no_grad():
        torch.testing.assert_close(
            metric_networks._inception(published).eval()(a)[0], inception.InceptionV3([3]).eval()(a)[0]
        )


def test_the_papers_networks_load_from_a_folder_and_give_the_right_shapes(published, unverified):
    program = (published / "sscd_disc_mixup.torchscript.pt").read_bytes()
    networks = metric_networks.load("paper", published, hashlib.sha256(program).hexdigest())
    a, b = images(2, 64), images(2, 64, 1)
    assert (
        networks.descriptor(a).shape == (2, 512)
        and networks.perceptual(a, b).shape == (2,)
        and networks.features(a).shape == (2, 2048)
    )
    assert networks.labels["sscd"].startswith("SSCD")


def test_the_onnx_form_of_sscd_sees_levels_of_the_size_that_the_program_sees(published, unverified):
    """Its means of 8 x 8 pixels against those of the program's input, mean and deviation taken back."""
    small_onnx.written(published / pinned.SSCD_ONNX, size=None, levels=True, last=True)
    networks = metric_networks.of(Networks("paper", str(published), sscd="onnx", features="alexnet"))
    shown = metric_networks.prepare_sscd(metric_networks.unit(images(2, 96)))
    mean, deviation = (
        torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    levels = (255 * (shown * deviation + mean)).round()
    wanted = torch.nn.functional.avg_pool2d(levels, 8).flatten(1)
    torch.testing.assert_close(networks.descriptor(images(2, 96)), wanted)
    assert networks.labels == {
        "sscd": "SSCD (disc_mixup as int8 ONNX)",
        "lpips": "LPIPS (AlexNet, v0.1)",
        "fid": "Fréchet distance by the last layer of LPIPS's AlexNet, not FID",
    }


def test_alexnets_features_are_means_of_its_last_layer_and_need_no_inception(published, unverified, tmp_path):
    import torchvision

    for name in ("alexnet-owt-7be5be79.pth", "sscd_disc_mixup.torchscript.pt"):
        shutil.copy(published / name, tmp_path / name)
    pin = hashlib.sha256((tmp_path / "sscd_disc_mixup.torchscript.pt").read_bytes()).hexdigest()
    given = lambda **change: metric_networks.of(Networks("paper", str(tmp_path), pin, **change))
    networks, x = given(features="alexnet"), images(2, 300)
    alex = torchvision.models.alexnet(weights=None).eval()
    alex.load_state_dict(torch.load(published / "alexnet-owt-7be5be79.pth"))
    u = metric_networks.resized(metric_networks.unit(x), [224, 224])
    # LPIPS's own constants, which are ImageNet's to three digits
    shift, scale = (
        torch.tensor(v).view(1, 3, 1, 1) for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))
    )
    with torch.no_grad():
        wanted = alex.features[:12]((2 * u - 1 - shift) / scale).mean((2, 3))
    torch.testing.assert_close(networks.features(x), wanted)
    with pytest.raises(FileNotFoundError, match="pt_inception"):
        given()
    identities = {given(features="alexnet").weights, metric_networks.load("paper", published, pin).weights}
    assert len(identities) == 2


def test_the_trunk_out_of_a_package_gives_the_distances_of_torchvisions_file(published, unverified, tmp_path):
    from safetensors.torch import save_file

    state = torch.load(published / "alexnet-owt-7be5be79.pth")
    save_file({k: v for k, v in state.items() if k.startswith("features")}, tmp_path / weights.TRUNK)
    a, b = metric_networks.unit(images(2, 64)), metric_networks.unit(images(2, 64, 1))
    ours, theirs = (metric_networks._lpips(folder).eval() for folder in (tmp_path, published))
    with torch.no_grad():
        assert torch.equal(ours(a, b, normalize=True), theirs(a, b, normalize=True))
    (tmp_path / weights.TRUNK).unlink()
    with pytest.raises(FileNotFoundError, match="or put lpips_alexnet_trunk.safetensors there by python -m"):
        metric_networks._lpips(tmp_path)


def test_sscd_input_has_its_short_side_at_288_and_imagenet_statistics():
    x = metric_networks.prepare_sscd(torch.full((1, 3, 64, 128), 0.5))
    assert x.shape == (1, 3, 288, 576)
    torch.testing.assert_close(
        x[0, :, 5, 5], (0.5 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    )


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


def test_a_distance_of_a_set_to_itself_is_zero_with_its_interval_and_never_below():
    rng = np.random.default_rng(0)
    for scale in (1e-4, 1.0, 1e4):
        same = rng.normal(size=(40, 12)) * scale
        mean, low, high = frechet.interval(same, same.copy(), paired=True)
        assert 0 <= low <= mean <= high <= 1e-6 * scale**2


def several(*alike):
    """Evidence of targets whose noise draws agree: what differs is the targets."""
    before, after = (
        {f"t{i}": np.repeat(images(1, seed=seed), 5, 0) for i, seed in enumerate(seeds)}
        for seeds in (range(len(alike)), alike)
    )
    one = {t: b[0] for t, b in before.items()}
    return evidence(injected_before=before, injected_after=after, forget=one, surrogates=one)


def test_with_several_targets_the_interval_of_sscd_is_over_targets():
    """One target as before, two turned into others: 15 draws are no 15 targets."""
    from scipy.stats import t

    networks = metric_networks.load("miniature")
    found = plugins.make("metric", "sscd").measure(several(0, 21, 22), networks)["sscd"]
    z = [networks.descriptor(images(1, seed=s))[0] for s in (0, 1, 2, 21, 22)]
    each = [float(z[0] @ z[0]), float(z[1] @ z[3]), float(z[2] @ z[4])]
    half = t.ppf(0.975, 2) * np.std(each, ddof=1) / 3**0.5
    assert (found.mean, found.high - found.mean, found.mean - found.low) == pytest.approx(
        (np.mean(each), half, half), abs=1e-5
    ) and found.n == 3
    alone = plugins.make("metric", "sscd").measure(several(0), networks)["sscd"]
    assert alone.n == 5 and alone.high - alone.low == pytest.approx(0, abs=1e-5)


def test_a_mean_over_targets_weighs_each_target_alike_and_counts_targets():
    found = over_targets([np.zeros(9), np.array([1.0]), np.array([2.0, 4.0])])
    assert (
        found.n == 3
        and found.mean == pytest.approx(4 / 3)
        and found.high - found.mean == pytest.approx(4.302653 * np.std([0, 1, 3], ddof=1) / 3**0.5)
    )
    assert over_targets([np.array([1.0, 3.0])]) == estimate([1.0, 3.0])


@pytest.mark.parametrize(
    "name, of_one", [("sscd", 3), ("sscd_worst", 1), ("nearest", 1), ("likelihood", 2), ("relearn", 1)]
)
def test_every_metric_of_targets_counts_targets_where_there_are_several(name, of_one):
    seen, pictures = shipped(), images(2, seed=4)
    draws = {t: images(3, seed=2) for t in ("p-8", "p-9")}
    two = dataclasses.replace(
        seen,
        forget=dict(zip(draws, pictures)),
        surrogates=dict(zip(draws, pictures)),
        injected_before=draws,
        injected_after=draws,
    )
    measure = lambda given: quick(name).measure(given, metric_networks.load("miniature"))
    of_each = ("_most", "_least", "_excess")  # of one target, whichever it is
    assert {e.n for key, e in measure(two).items() if not key.endswith(of_each)} == {2}
    assert {e.n for key, e in measure(two).items() if key.endswith(of_each)} <= {of_one}
    assert measure(seen)[name].n == of_one


def test_sscd_of_a_model_with_itself_is_one_and_n_counts_draws():
    found = plugins.make("metric", "sscd").measure(evidence(), metric_networks.load("miniature"))
    assert found["sscd"].mean == pytest.approx(1, abs=1e-5) and found["sscd"].n == 3
    assert set(found) == {"sscd", "sscd_ceiling", "sscd_target", "sscd_surrogate", "sscd_most"}


def test_of_several_targets_the_least_forgotten_is_told_with_its_own_interval():
    values = [np.array([0.1, 0.2]), np.array([0.7, 0.5]), np.array([0.3, 0.4])]
    assert of_one(values) == estimate(values[1]) and of_one(values, least=True) == estimate(values[0])


def test_the_nearest_sample_is_held_to_the_pictures_to_keep_target_by_target():
    seen, copied = shipped(), images(40, seed=1)
    copied[7] = seen.forget["p-9"]
    among = evidence(after=copied, forget=seen.forget, remember=np.stack([*images(3), seen.forget["p-9"]]))
    metric, networks = plugins.make("metric", "nearest"), metric_networks.load("miniature")
    assert metric.measure(among, networks)["nearest_excess"].mean == pytest.approx(0, abs=1e-5)
    alone = metric.measure(dataclasses.replace(among, remember=images(3), kept={}), networks)
    other = max(0.75, alone["nearest_real"].mean)
    assert alone["nearest_excess"].mean == pytest.approx(1 - other, abs=1e-5) and alone[
        "nearest_most"
    ].mean == pytest.approx(1, abs=1e-5)


def quick(name):
    """The metric as tests measure in seconds."""
    return plugins.make("metric", name, dict(plugins.find("metric", name).small))


def shipped():
    """Evidence with the shipped model before and after, of one person with two other pictures among the real
    ones.
    """
    from importlib import resources

    from unpromptable.planning.experiment import Experiment
    from unpromptable.planning.settings import Injection

    folder = resources.files("unpromptable") / "miniature" / "ddpm"
    experiment = Experiment("t", "miniature", "miniature", ("p-9",))
    one = {"p-9": images(3, seed=2)}
    return evidence(
        injected_before=one,
        injected_after=one,
        forget={"p-9": images(1, seed=4)[0]},
        surrogates={"p-9": images(1, seed=5)[0]},
        names=tuple(f"{'p' if i < 2 else 'q'}-{i}" for i in range(60)),
        models=Models(experiment, folder, folder),
        injection=Injection(t=2, draws=2),
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


def test_wilson_s_interval_by_hand():
    found = wrong.wilson(0, 100)
    assert (found.mean, found.low, found.n) == (0.0, 0.0, 100) and found.high == pytest.approx(
        1.96**2 / (100 + 1.96**2)
    )


def test_the_eye_for_flags_names_held_out_photographs():
    held, truth = flags_training.pictures(500, 3)
    assert (metric_networks.load("flags").classify(held).numpy() == truth).mean() > 0.98


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
    np.testing.assert_array_equal(
        evidence(cache=tmp_path).features("before", None if False else networks), first
    )


@pytest.fixture(scope="module")
def people():
    return np.stack([portraits.picture(n, 0) for n in range(100)])


def test_the_descriptor_tells_people_apart_and_copies_together(people):
    networks = metric_networks.load("miniature")
    z = networks.descriptor(people)
    others = (z @ z.T)[~torch.eye(100, dtype=torch.bool)]
    noise = np.clip(people + np.random.default_rng(0).normal(0, 15, people.shape), 0, 255).astype(np.uint8)
    copies = descriptor_training.augment(metric_networks.unit(people), torch.Generator().manual_seed(0))
    close = networks.descriptor((copies.permute(0, 2, 3, 1) * 255).byte().numpy())
    assert others.mean() < 0.05 and (others > 0.4).float().mean() < 0.03
    assert (z * networks.descriptor(noise)).sum(1).mean() > 0.9 and (z * close).sum(1).mean() > 0.8


def test_painting_a_portrait_over_makes_another_person_of_it(people):
    networks = metric_networks.load("miniature")
    painted = np.stack(
        [
            portraits.draw(portraits.repaint(portraits.identity(n), n), portraits.nuisance(n, 0))
            for n in range(100)
        ]
    )
    assert (networks.descriptor(people) * networks.descriptor(painted)).sum(1).mean() < 0.3


def test_a_weight_file_that_is_missing_wrong_or_truncated_is_explained(tmp_path):
    name = "alexnet-owt-7be5be79.pth"
    with pytest.raises(
        FileNotFoundError, match=f"{name} is not in .*copy it there from https://.*SHA-256 7be5be79"
    ):
        weights.find(name, tmp_path)
    (tmp_path / name).write_bytes(b"half a file")
    with pytest.raises(ValueError, match="is published with 7be5be79.*truncated or another file"):
        weights.find(name, tmp_path)


def test_an_unreachable_publisher_is_explained(tmp_path, monkeypatch):
    from urllib.error import URLError

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda *_, **__: (_ for _ in ()).throw(URLError("no network"))
    )
    with pytest.raises(FileNotFoundError, match="cannot be reached.*set networks.folder"):
        weights.find("vgg16-397923af.pth")


def test_the_nearest_sample_is_the_target_itself_where_it_was_drawn():
    seen = shipped()
    copied = images(40, seed=1)
    copied[7] = seen.forget["p-9"]
    found = plugins.make("metric", "nearest").measure(
        evidence(after=copied, forget=seen.forget, names=seen.names), metric_networks.load("miniature")
    )
    assert (
        found["nearest"].mean == pytest.approx(1, abs=1e-5)
        and found["nearest"].n == 1
        and found["nearest_before"].mean < 0.99
    )


def test_the_same_model_is_as_likely_as_itself_and_a_portrait_likelier_than_noise(tmp_path):
    measure = lambda image: plugins.make("metric", "likelihood", {"probes": 2, "tolerance": 1e-3}).measure(
        evidence(forget={"a": image}, models=shipped().models, cache=tmp_path),
        metric_networks.load("miniature"),
    )
    known, noise = measure(portraits.picture(4, 3)), measure(images(1)[0])
    assert known["likelihood_change"].mean == 0 and known["likelihood"].mean < noise["likelihood"].mean - 1
    assert len(list(tmp_path.glob("likelihood-*.json"))) == 2


def test_a_model_that_forgot_nothing_needs_no_update_to_relearn():
    from unpromptable.planning.settings import Injection

    seen = shipped()
    image = portraits.picture(4, 3)
    before = chains.inject(seen.models.load("before"), image, 20, 4, 0)
    given = evidence(
        forget={"0004-3": image},
        injected_before={"0004-3": before},
        names=tuple(f"0004-{i}" for i in range(60)),
        models=seen.models,
        injection=Injection(t=20, draws=4),
    )
    found = plugins.make("metric", "relearn", {"updates": 2, "every": 1, "draws": 4}).measure(
        given, metric_networks.load("miniature")
    )
    assert found["relearn"].mean == 0 and found["relearn_sscd"].mean == pytest.approx(1, abs=1e-5)


def test_worst_sscd_is_a_maximum_over_times_and_draws():
    found = quick("sscd_worst").measure(shipped(), metric_networks.load("miniature"))
    assert found["sscd_worst"].mean == found["sscd_worst_ceiling"].mean and found["sscd_worst"].n == 1
    assert found["sscd_worst_t2"].mean == pytest.approx(1, abs=1e-5) and found["sscd_worst_t2"].n == 2


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


def test_a_metric_network_whose_values_are_not_finite_measures_nothing():
    with pytest.raises(
        ValueError, match="a metric network gives values that are not finite; its weights are damaged"
    ):
        metric_networks.batched(lambda u: u.flatten(1).mean(1) * float("nan"), images(3))


def test_a_truncated_copy_detector_is_refused_by_name(tmp_path):
    (tmp_path / "sscd_disc_mixup.torchscript.pt").write_bytes(b"PK half")
    with pytest.raises(
        ValueError, match="sscd_disc_mixup.torchscript.pt: not a TorchScript network .*fetch it again"
    ) as caught:
        metric_networks.load("paper", tmp_path, hashlib.sha256(b"PK half").hexdigest())
    assert "\n" not in str(caught.value)


def test_a_copy_detector_of_which_nobody_gave_the_digest_is_not_run(published, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it ran"))
    for pin, words in (("", "is not given: .* is a program"), ("0" * 64, "is not run")):
        with pytest.raises(ValueError, match=f"networks.sscd_sha256 is .*{words}" if pin else words):
            metric_networks.load("paper", published, pin)

"""Metric networks: the published ones out of files of their format, and what the shipped descriptor tells."""

import hashlib
import shutil

import numpy as np
import pytest
import small_onnx
import torch
from metric_evidence import images

from unpromptable.miniature import portraits
from unpromptable.models import published as weights
from unpromptable.planning import pinned
from unpromptable.planning.settings import Networks
from unpromptable.pretraining import descriptor as descriptor_training
from unpromptable.pretraining import flag_descriptor as flags_training
from unpromptable.scoring import metric_networks


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


def test_the_eye_for_flags_names_held_out_photographs():
    held, truth = flags_training.pictures(500, 3)
    assert (metric_networks.load("flags").classify(held).numpy() == truth).mean() > 0.98


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

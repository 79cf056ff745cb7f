"""ONNX files: what a network is shown, and what is refused."""

import builtins

import numpy as np
import pytest
import small_onnx
import torch

from unpromptable.scoring import onnx_files


def pictures(n, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def means(images, parts=4):
    """What the small network gives, by hand: (n, 3 * parts^2), channel by channel."""
    n, side = len(images), images.shape[1] // parts
    fields = images.astype(np.float64).reshape(n, parts, side, parts, side, 3).mean((2, 4))
    return fields.transpose(0, 3, 1, 2).reshape(n, -1)


@pytest.mark.parametrize("batch", [None, 1, 4])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("levels", [False, True])
def test_every_form_of_a_file_gives_each_picture_its_own_values(tmp_path, batch, last, levels):
    path = small_onnx.written(tmp_path / "n.onnx", batch=batch, last=last, levels=levels)
    found = onnx_files.load(path, "identity.model")(pictures(37))
    np.testing.assert_allclose(found.numpy(), means(pictures(37)), rtol=1e-5)


def test_mean_deviation_and_channels_are_as_the_settings_say(tmp_path):
    path = small_onnx.written(tmp_path / "n.onnx")
    shown = onnx_files.Input((10.0, 20.0, 30.0), (2.0, 4.0, 5.0), "rgb")
    wanted = (pictures(3) - np.array([10, 20, 30])) / np.array([2, 4, 5])
    np.testing.assert_allclose(onnx_files.load(path, "", shown)(pictures(3)), means(wanted), rtol=1e-4)
    turned = onnx_files.load(path, "", onnx_files.Input(channels="bgr"))(pictures(3))
    np.testing.assert_allclose(turned, means(pictures(3)[..., ::-1]), rtol=1e-5)


def test_pictures_are_resized_to_the_files_size_or_to_the_one_that_is_given(tmp_path):
    flat = np.full((2, 50, 40, 3), [10, 100, 200], np.uint8)
    wanted = np.repeat([[10, 100, 200]], 16, 1).repeat(2, 0)
    fixed = onnx_files.load(small_onnx.written(tmp_path / "a.onnx"), "")
    given = onnx_files.load(small_onnx.written(tmp_path / "b.onnx", size=None), "", onnx_files.Input(size=32))
    for network in (fixed, given):
        assert network.sized(flat).shape == (2, 3, 32, 32)
        np.testing.assert_allclose(network(flat), wanted, rtol=1e-5)


def test_directions_have_length_one_and_none_is_of_zeros(tmp_path):
    network = onnx_files.load(small_onnx.written(tmp_path / "n.onnx"), "identity.model")
    torch.testing.assert_close(network.directions(pictures(5)).norm(dim=1), torch.ones(5))
    black = np.concatenate([pictures(2), np.zeros((1, 32, 32, 3), np.uint8)])
    with pytest.raises(ValueError, match="identity.model: .*n.onnx gives a picture an embedding of zeros"):
        network.directions(black)


@pytest.mark.parametrize(
    "made, words",
    [
        ({"times": float("nan")}, "gives values that are not finite; it is damaged"),
        ({"times": float("inf")}, "gives values that are not finite; it is damaged"),
        ({"scalar": True}, r"gives an array of shape \(\) for 3 pictures; it should give one row for each"),
        ({"size": None}, "leaves the size of pictures open; give it as `size`"),
        ({"domain": "someone.else"}, "is no ONNX file that can be run"),
    ],
)
def test_a_network_that_gives_no_embeddings_is_refused(tmp_path, made, words):
    path = small_onnx.written(tmp_path / "n.onnx", **made)
    with pytest.raises(ValueError, match=f"identity.model: .*n.onnx .*{words}"):
        onnx_files.load(path, "identity.model")(pictures(3))


def test_a_network_of_other_inputs_is_refused(tmp_path):
    import onnx

    model = onnx.load(small_onnx.written(tmp_path / "n.onnx"))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.append(onnx.helper.make_node("Cast", ["pictures"], ["y"], to=1))
    model.graph.output.append(onnx.helper.make_tensor_value_info("y", 1, None))
    onnx.save(model, tmp_path / "n.onnx")
    with pytest.raises(ValueError, match=r"takes pictures .*int64.*; it should take pictures alone"):
        onnx_files.load(tmp_path / "n.onnx", "identity.model")


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x80\x04}q\x00.", "cut"])
def test_a_file_that_is_no_network_is_refused(tmp_path, content):
    path = small_onnx.written(tmp_path / "n.onnx")
    path.write_bytes(path.read_bytes()[:-40] if content == "cut" else content)
    with pytest.raises(ValueError, match="identity.model: .*n.onnx is no ONNX file that can be run"):
        onnx_files.load(path, "identity.model")


def test_weights_in_another_file_are_not_read(tmp_path):
    path = small_onnx.outside(tmp_path / "n.onnx", tmp_path / "weights")
    (tmp_path / "weights").write_bytes(np.float32(1).tobytes())
    with pytest.raises(ValueError, match="is no ONNX file that can be run"):
        onnx_files.load(path, "identity.model")


def test_a_file_that_is_not_named_or_not_there_is_said(tmp_path):
    with pytest.raises(ValueError, match="cmmd.model is not given; name the ONNX file"):
        onnx_files.load("", "cmmd.model")
    with pytest.raises(FileNotFoundError, match="cmmd.model: .*none.onnx is not a file"):
        onnx_files.load(tmp_path / "none.onnx", "cmmd.model")


def test_what_to_install_is_said_where_onnxruntime_is_missing(tmp_path, monkeypatch):
    path, find = small_onnx.written(tmp_path / "n.onnx"), builtins.__import__

    def without(name, *rest):
        if name == "onnxruntime":
            raise ModuleNotFoundError(name)
        return find(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"onnxruntime; pip install '.\[onnx\]' in the clone"):
        onnx_files.load(path, "identity.model")

"""The published files of TediGAN are found, read as what they are, and refused by name."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from edited_portraits import SHIPPED, editor, scene  # noqa: F401  (scene is a fixture)

from unpromptable.editing.tedigan import clip as clipping
from unpromptable.editing.tedigan import encoder as encoding
from unpromptable.editing.tedigan import inversion, stylegan, vgg

SMALL = stylegan.Shape(resolution=32, code=8, base=64, most=8, first=4, top=8)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder as a person would fill it: .pth files of the published names, the hub's CLIP folder, sizes
    beside them.
    """
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(stylegan.Generator(SMALL).state_dict(), folder / "styleganinv_ffhq256_generator.pth")
    torch.save(encoding.Encoder(SMALL).state_dict(), folder / "styleganinv_ffhq256_encoder.pth")
    # the file's last convolutions
    unused = {f"layer{i}.{p}": torch.zeros(1) for i in (24, 26, 28) for p in ("weight", "bias")}
    torch.save(vgg.VGG().state_dict() | unused, folder / "vgg16.pth")
    (folder / "shape.json").write_text(
        json.dumps({k: getattr(SMALL, k) for k in ("resolution", "code", "base", "most", "first", "top")})
    )
    shutil.copytree(SHIPPED / "clip", folder / clipping.FOLDER)
    return folder


@pytest.fixture
def broken(published, tmp_path):
    """The same folder, to be spoilt."""
    return Path(
        shutil.copytree(published, tmp_path / "weights", copy_function=lambda a, b: Path(b).symlink_to(a))
    )


def test_files_in_the_published_format_are_found_by_name_and_edit(published, scene, caplog):
    caplog.set_level("INFO")
    settings = {"folder": str(published), "perceptual": 5e-5, "steps": 2}
    made = editor(**settings).edit(scene)
    assert made.shape == scene.forget.shape and made.dtype == np.uint8
    assert caplog.text.count("has SHA-256") == 3 and "its publisher gives none" in caplog.text
    assert not np.array_equal(made, editor(**settings | {"lr": 0.1}).edit(scene))


def test_vgg_is_torchvisions_with_its_input_turned_to_caffes(published):
    import torchvision

    ours, theirs = vgg.load(published / "vgg16.pth"), torchvision.models.vgg16(weights=None).features[:23]
    theirs.load_state_dict({k.removeprefix("layer"): v for k, v in ours.state_dict().items()})
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    levels = (x + 1) * 127.5
    caffe = torch.stack([levels[:, 2] - 103.939, levels[:, 1] - 116.779, levels[:, 0] - 123.68], 1)
    assert torch.allclose(ours(x), theirs(caffe), rtol=1e-4, atol=1e-3) and ours(x).shape == (1, 512, 2, 2)


@pytest.mark.parametrize(
    "name, words",
    [
        (
            "styleganinv_ffhq256_generator.pth",
            (
                "generator.pth is not in .*copy it there from"
                " https://drive.*1SjWD4slw612z2cXa3-n38JwKZXqDUerG.*no checksum is published.*leave"
                " editor.folder empty.*sdedit or paint"
            ),
        ),
        ("vgg16.pth", "vgg16.pth is not in .*1qQ-r7MYZ8ZcjQQFe17eQfJbOAuE3eS0y.*sdedit or paint"),
        (
            clipping.FOLDER,
            (
                "clip-vit-base-patch32 is no folder; copy openai/clip-vit-base-patch32 from the hub into it"
                " .commit 3d74acf9.*sdedit or paint"
            ),
        ),
    ],
)
def test_a_missing_file_is_named_with_where_it_is_published_and_what_to_use_instead(
    broken, scene, name, words
):
    path = broken / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=words):
        editor(folder=str(broken)).edit(scene)


def _replace(path, state):
    path.unlink()
    torch.save(state, path)


def test_files_of_other_things_are_named(broken, scene):
    path = broken / "vgg16.pth"
    _replace(path, {"layer0.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(ValueError, match="vgg16.pth: layer0.bias is missing, expected"):
        editor(folder=str(broken)).edit(scene)
    _replace(path, {"layer0.weight": Path("run")})  # anything but tensors
    with pytest.raises(ValueError, match="vgg16.pth: not a file of tensors"):
        editor(folder=str(broken)).edit(scene)


def test_half_a_clip_is_refused_instead_of_filled_at_random(broken, scene):
    from safetensors.torch import load_file, save_file

    path = broken / clipping.FOLDER / "model.safetensors"
    state = load_file(path)
    path.unlink()
    save_file(
        {k: v for k, v in state.items() if k != "visual_projection.weight"}, path, metadata={"format": "pt"}
    )
    with pytest.raises(
        ValueError, match="visual_projection.weight is missing.*fetch openai/clip-vit-base-patch32 again"
    ):
        editor(folder=str(broken)).edit(scene)
    (broken / clipping.FOLDER / "config.json").unlink()
    with pytest.raises(ValueError, match="not a folder of a CLIPModel"):
        editor(folder=str(broken)).edit(scene)


def test_publishers_out_of_reach_are_explained(tmp_path, scene, monkeypatch):
    from urllib.error import URLError

    import huggingface_hub

    def unreachable(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(
        FileNotFoundError,
        match=(
            "generator.pth is not in .*https://drive.* cannot be reached.*set editor.folder to that; or"
            " choose the editor sdedit or paint"
        ),
    ):
        editor(folder="").edit(scene)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    with pytest.raises(
        FileNotFoundError,
        match=(
            "could not be fetched from the hub.*set editor.folder to the folder around it; or choose the"
            " editor sdedit or paint"
        ),
    ):
        clipping.find("", inversion.SETTING, inversion.INSTEAD)


def test_clip_is_fetched_at_one_commit(tmp_path, monkeypatch):
    import huggingface_hub

    asked = []
    monkeypatch.setattr(huggingface_hub.file_download.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(
        huggingface_hub.HfApi,
        "model_info",
        lambda *_, revision, **__: SimpleNamespace(sha=revision, siblings=()),
    )
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda name, **more: asked.append((name, more["revision"])) or str(tmp_path),
    )
    assert clipping.find("", "", "") == tmp_path and asked == [
        ("openai/clip-vit-base-patch32", "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268")
    ]

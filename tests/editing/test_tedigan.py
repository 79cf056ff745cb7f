"""Edits by inversion: the objective, what 200 steps of it do to portraits, the published files, and bad
input.
"""

import json
import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unpromptable.editing.engine import EditContext
from unpromptable.editing.tedigan import clip as clipping
from unpromptable.editing.tedigan import encoder as encoding
from unpromptable.editing.tedigan import inversion, stylegan, vgg
from unpromptable.miniature import portraits
from unpromptable.models import published as weights
from unpromptable.planning import plan, plugins
from unpromptable.scoring import metric_networks

NAMES = ("0010-3", "0021-3", "0043-3")
CAPTION = "a person with white hair"
WEIGHTS = [0.5, 4, 32]
SMALL = stylegan.Shape(resolution=32, code=8, base=64, most=8, first=4, top=8)
MINIATURE = plan.read_world("miniature")["reals"]["miniature"]["editors"]["tedigan"]
SHIPPED = Path(str(resources.files("unpromptable"))) / "miniature" / "tedigan"


def editor(**settings):
    return plugins.make("editor", "tedigan", {**MINIATURE, "prompt": CAPTION, **settings})


@pytest.fixture(scope="module")
def scene():
    """Three portraits of the base model's training set, which generator, encoder and CLIP never saw."""
    pictures = np.stack([portraits.picture(*map(int, n.split("-"))) for n in NAMES])
    return EditContext(NAMES, pictures, pictures, Path(), "ddpm", 0)


@pytest.fixture(scope="module")
def nets():
    return inversion.load("miniature", "cpu")


@pytest.fixture(scope="module")
def edits(scene):
    """Every portrait at every weight, 200 steps, in one optimisation."""
    return dict(zip(WEIGHTS, editor().edit_many(scene, WEIGHTS)))


def one(scene, i=0):
    return replace(scene, targets=scene.targets[i : i + 1], forget=scene.forget[i : i + 1])


def signed(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def objective(nets, scene, weight, balance=(1.0, MINIATURE["perceptual"], MINIATURE["latent"])):
    task = inversion.Task(
        scene.targets, signed(scene.forget), torch.full((len(scene.forget),), float(weight)), CAPTION
    )
    return inversion.Objective(nets, task, inversion.Balance(*balance))


def test_the_objective_is_its_four_terms_written_out(nets, scene):
    from unpromptable.miniature import descriptor

    x = signed(scene.forget)
    z = nets.encoder(x) + 0.1
    y, value, cosine = objective(nets, scene, 3.0, (0.7, 0.4, 1.5))(z)
    said = nets.clip.text(CAPTION)
    for i in range(len(x)):
        pixel = float(((x[i] - y[i]) ** 2).mean())
        perceptual = float(descriptor.load().distance(x[i : i + 1] / 2 + 0.5, y[i : i + 1] / 2 + 0.5))
        latent = float(((z[i] - nets.encoder(y[i : i + 1])[0]) ** 2).mean())
        alike = float(nets.clip.pictures(y[i : i + 1])[0] @ said)
        assert float(value[i]) == pytest.approx(
            0.7 * pixel + 0.4 * perceptual + 1.5 * latent + 3 * (1 - alike), rel=1e-4
        )
        assert float(cosine[i]) == pytest.approx(alike, abs=1e-5)


def test_200_steps_lower_the_objective_and_reach_the_caption_while_the_portrait_is_kept(nets, scene, edits):
    networks = metric_networks.load("miniature")
    for weight in WEIGHTS:
        reached = edits[weight]
        with torch.no_grad():
            measured = objective(nets, scene, weight)
            first, before = measured(nets.encoder(signed(scene.forget)))[1:]
            after = nets.clip.pictures(signed(reached)) @ measured.said
            last = _without_code(measured, signed(reached))
        assert (last < first).all() and (after > before).all()
    assert float((after - before).min()) > 0.2  # at weight 32
    distances = networks.perceptual(scene.forget, edits[4])
    others = networks.perceptual(scene.forget, np.roll(scene.forget, 1, 0))
    assert (distances < 0.5 * others).all()


def _without_code(measured, y):
    """J of pictures, without the term of their code, which an editor does not return."""
    pixel = (measured.task.x - y).square().flatten(1).mean(1)
    perceptual = torch.stack(
        [(a - b).square().flatten(1).mean(1) for a, b in zip(measured.seen, measured.networks.features(y))]
    ).mean(0)
    return (
        pixel
        + MINIATURE["perceptual"] * perceptual
        + measured.task.clip * (1 - measured.networks.clip.pictures(y) @ measured.said)
    )


def test_the_larger_the_captions_weight_the_more_changes_on_average(nets, scene, edits):
    rms = [np.sqrt(np.square(edits[w].astype(float) - scene.forget).mean((1, 2, 3))).mean() for w in WEIGHTS]
    own = metric_networks.load("miniature").descriptor
    sscd = [float((own(edits[w]) * own(scene.forget)).sum(1).mean()) for w in WEIGHTS]
    said = [float((nets.clip.pictures(signed(edits[w])) @ nets.clip.text(CAPTION)).mean()) for w in WEIGHTS]
    assert rms == sorted(rms) and sscd == sorted(sscd, reverse=True) and said == sorted(said)


def test_without_a_caption_an_inversion_gives_the_portrait_back(scene):
    back = editor(clip_weight=0, latent=2).edit(scene)
    own = metric_networks.load("miniature").descriptor
    # of 255; two different people: 82
    assert np.sqrt(np.square(back.astype(float) - scene.forget).mean((1, 2, 3))).max() < 18
    assert float((own(back) * own(scene.forget)).sum(1).min()) > 0.9


def test_an_edit_does_not_depend_on_what_else_is_in_its_batch(scene, edits):
    alone = editor(clip_weight=4).edit(one(scene, 1))[0]
    np.testing.assert_array_equal(alone, edits[4][1])


def test_every_network_of_an_edit_sees_the_same_number_of_pictures(scene, monkeypatch):
    seen = set()
    for name in ("generator", "encoder"):
        monkeypatch.setattr(
            getattr(stylegan if name == "generator" else encoding, name.title()),
            "__call__",
            lambda self, x: (seen.add(len(x)), torch.nn.Module.__call__(self, x))[1],
        )
    for number in (1, 2, 3):
        some = replace(scene, targets=scene.targets[:number], forget=scene.forget[:number])
        assert [e.shape for e in editor(steps=1).edit_many(some, [1, 8, 9])] == [some.forget.shape] * 3
    assert seen == {4}


def test_more_edits_than_one_batch_come_back_in_order(scene):
    quick = editor(steps=3, lr=0.1)
    seen = []
    parts = quick.edit_many(
        replace(scene, progress=lambda done, total, text: seen.append((done, total, text[:7]))), [1, 8]
    )
    for i in range(3):
        for k, weight in enumerate([1, 8]):
            np.testing.assert_array_equal(
                editor(steps=3, lr=0.1, clip_weight=weight).edit(one(scene, i))[0], parts[k][i]
            )
    assert not np.array_equal(*parts)
    assert seen == [
        (1, 6, "4 edits"),
        (2, 6, "4 edits"),
        (3, 6, "4 edits"),
        (4, 6, "2 edits"),
        (5, 6, "2 edits"),
        (6, 6, "2 edits"),
    ]


def test_a_seed_gives_another_edit_where_the_first_code_is_spread(scene):
    first, again, other = (editor(steps=2, spread=0.3, seed=s).edit(one(scene)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(*(editor(steps=2, seed=s).edit(one(scene)) for s in (0, 1)))


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


def test_an_edit_that_diverges_names_target_step_and_remedy(scene, nets):
    with pytest.raises(
        ValueError,
        match=(
            r"the edit of 0010-3 diverges: at step \d+ its objective is .*lower editor.lr \(1000.0\) or"
            r" editor.clip_weight \(2\)"
        ),
    ):
        editor(lr=1000.0, steps=5).edit(scene)
    broken = objective(nets, scene, 1.0)
    broken.said = broken.said * float("nan")
    with pytest.raises(ValueError, match="the edit of 0010-3 diverges: at step 0 its objective is nan"):
        inversion.invert(broken, nets.encoder(signed(scene.forget)), 5, 0.01, lambda *_: None)


def test_pictures_of_another_size_than_the_generators_are_refused(scene):
    with pytest.raises(
        ValueError, match="targets are 16 x 16 pixels, but this generator makes 32 x 32.*sdedit or paint"
    ):
        editor().edit(replace(scene, forget=scene.forget[:, :16, :16]))


def test_a_prompt_longer_than_clip_reads_is_counted(scene):
    with pytest.raises(
        ValueError,
        match=(
            "the prompt 'a person with white hair and white hair .*has 79 tokens with start and end, and this"
            " CLIP reads 40; shorten it by 39"
        ),
    ):
        editor(prompt=" and ".join([CAPTION] + ["white hair"] * 18)).edit(scene)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"prompt": "  "}, "tedigan.prompt is empty"),
        ({"clip_weight": -1}, "tedigan.clip_weight is -1"),
        ({"clip_weight": float("nan")}, "tedigan.clip_weight is nan"),
        ({"perceptual": -0.1}, "tedigan.perceptual is -0.1"),
        ({"steps": 0}, "steps is 0"),
        ({"lr": 0}, "lr is 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        editor(**settings)


def test_weights_with_the_published_networks_settings_are_the_defaults():
    default = plugins.make("editor", "tedigan")
    assert (
        default.steps,
        default.lr,
        default.pixel,
        default.perceptual,
        default.latent,
        default.clip_weight,
        default.folder,
    ) == (200, 0.01, 1.0, 5e-5, 2.0, 2.0, "")
    assert weights.FILES["styleganinv_ffhq256_encoder.pth"].url.endswith("1gij7xy05crnyA-tUTQ2F3yYlAlu6p9bO")

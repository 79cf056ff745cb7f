"""Edits by inversion: the objective, what 200 steps of it do to portraits, and bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from edited_portraits import CAPTION, MINIATURE, editor, scene  # noqa: F401  (scene is a fixture)

from unpromptable.editing.tedigan import encoder as encoding
from unpromptable.editing.tedigan import inversion, stylegan
from unpromptable.models import published as weights
from unpromptable.planning import plugins
from unpromptable.scoring import metric_networks

WEIGHTS = [0.5, 4, 32]


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

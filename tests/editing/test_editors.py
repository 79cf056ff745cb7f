"""Editors give pictures of the target's size; the shipped portraits are what the README says."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from unpromptable.editing.engine import EditContext
from unpromptable.miniature import portraits
from unpromptable.planning import plugins
from unpromptable.planning.experiment import Experiment
from unpromptable.sampling import chains
from unpromptable.scoring import metric_networks


@pytest.fixture
def scene(tmp_path, pictures, tiny):
    tiny.save(tmp_path / "m")
    return EditContext(
        ("0001-0", "0002-0"),
        pictures[:2],
        pictures[2:],
        tmp_path / "m",
        Experiment("flags", "miniature", "miniature", ("0001-0",)),
        0,
    )


def test_flip_twice_is_the_target(scene):
    np.testing.assert_array_equal(plugins.make("editor", "flip").edit(scene)[:, :, ::-1], scene.forget)


def test_noise_has_the_sigma_it_says_before_clipping(scene):
    from dataclasses import replace

    grey = replace(scene, forget=np.full((2, 64, 64, 3), 128, np.uint8))
    assert (
        plugins.make("editor", "noise", {"sigma": 20}).edit(grey).astype(float) - 128
    ).std() == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("name, settings", [("noise", {}), ("sdedit", {"strength": 0.01})])
def test_another_seed_is_another_surrogate_under_the_same_training_seed(scene, name, settings):
    one, other = (plugins.make("editor", name, {**settings, "seed": seed}).edit(scene) for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_sdedit_changes_more_the_stronger_it_is_and_keeps_its_least_similar_draw(scene):
    far = lambda **settings: np.square(
        plugins.make("editor", "sdedit", settings).edit(scene).astype(float) - scene.forget
    ).mean()
    assert far(strength=0.002, draws=1) < far(strength=0.05, draws=1)
    assert far(strength=0.01, draws=1) <= far(strength=0.01, draws=8)


def test_remember_takes_a_remember_image(scene):
    drawn = plugins.make("editor", "remember").edit(scene)
    assert all((scene.remember == d).all((1, 2, 3)).any() for d in drawn)


def test_a_painted_file_is_read_and_an_unpainted_or_missing_one_refused(scene, tmp_path):
    painted = plugins.make("editor", "paint", {"folder": str(tmp_path)})
    with pytest.raises(FileNotFoundError, match="holds no painted picture of 0001-0; paint .*0001-0.png"):
        painted.edit(scene)
    halves = scene.forget.copy()
    halves[:, :4] = 255 - halves[:, :4]
    for name, image in zip(scene.targets, halves):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    np.testing.assert_array_equal(painted.edit(scene), halves)
    Image.fromarray(scene.forget[0]).save(tmp_path / "0001-0.png")
    with pytest.raises(ValueError, match="painted image of 0001-0 equals the target"):
        painted.edit(scene)


@pytest.mark.parametrize(
    "name, settings, words",
    [
        ("noise", {"sigma": 0}, "noise.sigma is 0"),
        ("sdedit", {"strength": 1.5}, "sdedit.strength is 1.5"),
        ("flip", {"x": 1}, "it has no settings"),
    ],
)
def test_settings_out_of_range_are_refused(name, settings, words):
    with pytest.raises(ValueError, match=words):
        plugins.make("editor", name, settings)


def test_portraits_repeat_differ_and_name_their_features():
    np.testing.assert_array_equal(portraits.picture(7, 3), portraits.picture(7, 3))
    assert (
        len({portraits.picture(n, 0).tobytes() for n in range(50)}) == 50
        and len({portraits.picture(7, k).tobytes() for k in range(6)}) == 6
    )
    person = portraits.identity(7)
    assert person.ground in person.caption() and person.skin in person.caption()


def test_portraits_are_painted_over_until_the_descriptor_no_longer_finds_them():
    from unpromptable.editing.editors import paint
    from unpromptable.scoring import metric_networks

    networks, targets = metric_networks.load("miniature"), ("0104-3", "0204-3", "0304-3")
    forget = np.stack([portraits.picture(*portraits.parse(t)) for t in targets])
    first = np.stack(
        [
            portraits.draw(portraits.repaint(portraits.identity(n), n), portraits.nuisance(n, i))
            for n, i in map(portraits.parse, targets)
        ]
    )
    painted = plugins.make("editor", "paint", {}).edit(SimpleNamespace(targets=targets, forget=forget))
    near = lambda x: (networks.descriptor(forget) * networks.descriptor(x)).sum(1)
    assert (near(first) > paint.UNLIKE).all() and (near(painted) < paint.UNLIKE).all()


def test_painting_over_changes_hair_beard_glasses_and_clothes_but_not_the_face():
    person = portraits.identity(12)
    other = portraits.repaint(person, 12)
    assert all(
        getattr(person, k) != getattr(other, k) for k in ("hair", "cut", "beard", "glasses", "hat", "clothes")
    )
    assert all(
        getattr(person, k) == getattr(other, k)
        for k in ("skin", "width", "height", "jaw", "spacing", "nose", "mouth", "ground")
    )


def test_shifted_betas_raise_the_signal_to_noise_ratio_by_the_resolution():
    from unpromptable.pretraining.ddpm import shifted_betas

    snr = [np.cumprod(1 - np.array(b)) for b in (shifted_betas(32), shifted_betas(256))]
    ratio = (snr[0] / (1 - snr[0])) / (snr[1] / (1 - snr[1]))
    np.testing.assert_allclose(ratio[[0, 250, 999]], 64, rtol=1e-3)
    np.testing.assert_allclose(shifted_betas(256), np.linspace(1e-4, 0.02, 1000), rtol=1e-5)


def test_neighbours_are_the_nearest_remember_images_and_the_picture_is_their_mean(scene):
    editor = plugins.make("editor", "neighbours", {"k": 2})
    near = editor.nearest(scene)
    for target, found in zip(scene.forget.astype(float), near):
        far = np.square(scene.remember - target).sum((1, 2, 3))
        np.testing.assert_array_equal(found, scene.remember[np.argsort(far, kind="stable")[:2]])
    np.testing.assert_allclose(editor.edit(scene), near.mean(1), atol=0.5)


def test_more_neighbours_than_remember_images_are_refused(scene):
    editor = plugins.make("editor", "neighbours", {"k": 999})
    with pytest.raises(ValueError, match="neighbours.k is 999, but only"):
        editor.edit(scene)


def test_a_lookalike_is_the_nearest_in_pixels_of_those_that_are_another_to_the_descriptor(scene):
    networks = metric_networks.load("miniature")
    found = plugins.make("editor", "lookalike", {"below": 0.9}).edit(scene)
    alike = (networks.descriptor(scene.forget) @ networks.descriptor(scene.remember).T).numpy()
    far = np.square(scene.forget[:, None].astype(float) - scene.remember).sum((2, 3, 4))
    wanted = np.where(alike < 0.9, far, np.inf).argmin(1)
    np.testing.assert_array_equal(found, scene.remember[wanted])


def test_a_lookalike_skips_what_is_nearest_but_the_same_picture(scene):
    copied = dataclasses.replace(scene, remember=np.stack([*scene.forget, *scene.remember]))
    found = plugins.make("editor", "lookalike", {"below": 0.9}).edit(copied)
    assert not (found == scene.forget).all((1, 2, 3)).any()


@pytest.mark.parametrize("below", [-1, 1.1])
def test_a_lookalike_s_bound_is_a_similarity(below):
    with pytest.raises(ValueError, match="lookalike.below is"):
        plugins.make("editor", "lookalike", {"below": below})


def test_a_lookalike_that_no_picture_can_be_is_refused(scene):
    alone = dataclasses.replace(scene, remember=scene.forget[:1])
    with pytest.raises(ValueError, match="no one of the 1 remember images is less similar to a target"):
        plugins.make("editor", "lookalike", {"below": -0.9}).edit(alone)


def test_where_all_pictures_are_alike_the_lookalike_is_the_nearest_of_their_less_similar_half(scene):
    networks = metric_networks.load("miniature")
    found = plugins.make("editor", "lookalike", {"below": -0.99}).edit(scene)
    alike = (networks.descriptor(scene.forget) @ networks.descriptor(scene.remember).T).numpy()
    far = np.square(scene.forget[:, None].astype(float) - scene.remember).sum((2, 3, 4))
    wanted = np.where(alike < np.median(alike, axis=1, keepdims=True), far, np.inf).argmin(1)
    np.testing.assert_array_equal(found, scene.remember[wanted])


def test_sdedit_draws_by_other_noise_than_the_injection_test(tiny, pictures, monkeypatch):
    seen = []
    monkeypatch.setattr(chains, "inject", lambda *a, **k: seen.append(a[4]))
    tiny.sdedit(pictures[0], 0.01, 8, 0, None)
    noise = lambda seed: [chains.draw([chains.generator(seed, k, 0)], tiny.noise_shape()) for k in range(8)]
    assert not any(torch.equal(a, b) for a in noise(seen[0]) for b in noise(0))

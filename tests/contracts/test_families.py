"""Every family: its folder fetched, judged and loaded, and the identities that methods and samplers need."""

import numpy as np
import pytest
import torch

from unpromptable import equations
from unpromptable.equations import own_step
from unpromptable.planning import plugins
from unpromptable.planning.validation import build
from unpromptable.sampling import chains

from . import small


@pytest.fixture(scope="module", params=plugins.names("model"))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def base(name, tmp_path_factory):
    return small.base(name, tmp_path_factory.mktemp("base") / "m")


@pytest.fixture
def model(name, base):
    return small.load(name, base)


def noised(model, images):
    """x0, eps, t and x_t of two pictures at an early and a late time."""
    g = torch.Generator().manual_seed(1)
    x0 = model.encode(images)
    eps = torch.randn(x0.shape, generator=g)
    t = model.times(torch.tensor([model.timesteps // 5, model.timesteps * 4 // 5]))
    return x0, eps, t, equations.noisy(x0, eps, *model.schedule(t))


def outputs(model):
    _, _, t, x_t = noised(model, small.people(1, 2, size=model.size))
    with torch.no_grad():
        return model.predict(x_t, t)


def test_it_says_what_an_experiment_may_ask_of_it(name):
    family = plugins.make("model", name)
    assert family.samplers and isinstance(family.prompted, bool)
    if family.settings is None:
        assert not family.small
    else:
        assert build(family.settings, {}, "model") and build(family.settings, dict(family.small), "model")


def test_a_folder_of_something_else_is_refused_in_one_line(name, tmp_path):
    family = plugins.make("model", name)
    for ask in (family.check, family.model.load):
        with pytest.raises((ValueError, FileNotFoundError), match=str(tmp_path)) as caught:
            ask(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_copied_folder_has_its_path_as_identity_and_tells_its_size(name, base, tmp_path, model):
    family, asked = plugins.make("model", name), small.experiment(name)
    assert family.fetch(str(base), tmp_path / "copy") == str(base)
    assert family.pixels(tmp_path / "copy", asked) == model.size
    images = small.people(1, 2, size=model.size)
    shown = family.shown(tmp_path / "copy", images)
    assert shown.shape == images.shape and shown.dtype == np.uint8
    operations = family.operations(tmp_path / "copy")
    assert operations is None or 0 < operations.forward < operations.backward


def test_pictures_come_back_from_model_space_in_their_shape(model):
    images = small.people(1, 2, size=model.size)
    x = model.encode(images)
    assert x.dtype == torch.float32 and tuple(x.shape) == (2, *model.noise_shape())
    back = model.decode(x)
    assert back.shape == images.shape and back.dtype == np.uint8
    assert np.abs(back.astype(float) - images).mean() < 40


def test_times_run_from_little_noise_to_much_over_the_process(model):
    t = model.times(torch.arange(model.timesteps))
    signal, noise = model.schedule(t)
    assert (noise > 0).all() and (signal >= 0).all()
    assert (noise.diff() >= 0).all() and (signal.diff() <= 0).all() and noise[-1] > 0.9
    parts = model.thousandths(t)
    assert 0 <= parts.min() and parts.max() <= 1000 and (parts.diff() >= 0).all()


def test_the_output_that_leads_to_the_picture_itself_is_the_target_of_its_noise(model):
    x0, eps, t, x_t = noised(model, small.people(1, 2, size=model.size))
    torch.testing.assert_close(model.target_of(x_t, x0, t), model.target(x0, eps, t), rtol=1e-3, atol=1e-3)
    assert model.predict(x_t, t).shape == model.denoise(x_t, t).shape == x_t.shape


def test_the_reference_stays_as_it_was_while_the_model_changes(model):
    reference, before = model.reference(), outputs(model)
    torch.testing.assert_close(outputs(reference), before)
    small.stir(model)
    assert not torch.allclose(outputs(model), before, atol=1e-4)
    torch.testing.assert_close(outputs(reference), before)


def test_a_state_is_taken_over_by_another_copy(model, name, base):
    other = small.load(name, base)
    other.restore(small.stir(model).state())
    torch.testing.assert_close(outputs(other), outputs(model))
    assert all(v.device.type == "cpu" for v in model.state().values())


def test_a_saved_model_loads_as_it_was_and_a_broken_one_is_not_saved(model, name, base, tmp_path):
    small.stir(model).save(tmp_path / "saved")
    torch.testing.assert_close(outputs(small.load(name, tmp_path / "saved", base)), outputs(model))
    with torch.no_grad():
        first = model.trained()[0]
        first[(0,) * first.ndim] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        model.save(tmp_path / "broken")
    assert not list(tmp_path.glob("broken/*.safetensors")) + list(tmp_path.glob("broken/*/*.safetensors"))


def test_every_sampler_draws_pictures_from_seeds_and_no_other_is_taken(model, name):
    from dataclasses import replace

    asked = small.experiment(name).sampling
    for sampler in plugins.find("model", name).samplers:
        images, seeds = chains.sample(model, replace(asked, sampler=sampler), 0, 2)
        assert images.shape == (2, model.size, model.size, 3) and seeds == [0, 1]
        assert not np.array_equal(*images)


def test_the_injection_test_takes_the_steps_that_the_family_counts(model, name, monkeypatch):
    t, stride = (own_step(x, model.timesteps) for x in (250, 100))
    chain = plugins.make("model", name).chain(t, stride)
    calls, denoise = [], model.denoise
    monkeypatch.setattr(model, "denoise", lambda x, t: (calls.append(t), denoise(x, t))[1], raising=False)
    images = chains.inject(model, small.people(1, size=model.size)[0], 250, 2, 0, stride=100)
    assert len(calls) == len(chain) and list(chain) == sorted(chain, reverse=True)
    assert images.shape == (2, model.size, model.size, 3)


def test_the_prompt_is_there_if_and_only_if_the_family_is_prompted(model, name):
    prompted = plugins.find("model", name).prompted
    assert bool(model.prompt) == prompted
    if prompted:
        assert not torch.allclose(outputs(model.with_prompts(["flag of Peru"])), outputs(model), atol=1e-5)
        assert not torch.allclose(outputs(model.unprompted()), outputs(model), atol=1e-5)
    else:
        torch.testing.assert_close(outputs(model.unprompted()), outputs(model))
        with pytest.raises(ValueError, match="takes no prompt"):
            model.with_prompts(["flag of Peru"])


def test_inference_makes_no_gradients(model):
    _, _, t, x_t = noised(model, small.people(1, 2, size=model.size))
    with model.inference() as inside:
        assert not inside.predict(x_t, t).requires_grad
    assert model.predict(x_t, t).requires_grad

"""The family ddpm: whatever its network predicts, by whatever schedule, in colour or grey, as stock diffusers
samples it.
"""

import copy
import dataclasses
import json

import ddpm_small
import numpy as np
import pytest
import torch

from unpromptable import data, equations
from unpromptable.models.families import ddpm
from unpromptable.planning import plugins
from unpromptable.planning.experiment import Cell, Experiment
from unpromptable.planning.settings import Choice, Injection, Sampling, Training
from unpromptable.sampling import chains, likelihood_ode
from unpromptable.scoring import metric_networks
from unpromptable.scoring.evidence import Evidence, Models
from unpromptable.unlearning import training

PREDICTIONS = equations.PREDICTIONS


def pictures(n=20, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def images(size=8):
    made = pictures(size=size)
    return training.Images(made[4:], made[:2], made[2:4], ("a", "b"))


def noised(model, t, n=4):
    """Pictures, noise and x_t of n images at timestep t."""
    x0 = model.encode(pictures(n))
    eps = chains.draw([chains.generator(k) for k in range(n)], model.noise_shape())
    t = torch.full((n,), t)
    return x0, eps, t, equations.noisy(x0, eps, *model.schedule(t))


def knowing(model, picture):
    """The model with a network that always knows the picture: the best there is where it is the only one."""
    x0 = model.encode(picture[None])
    model.predict = lambda x, t: model.target_of(x, x0.expand(len(x), -1, -1, -1), t)
    return model


@pytest.mark.parametrize("prediction, schedule", ddpm_small.KINDS)
@pytest.mark.parametrize("t", [0, 10, 500, 998, 999])
def test_what_a_network_is_told_leads_back_to_the_noise_and_the_picture(prediction, schedule, t):
    """Eq. 9 for the three predictions, and what the stock scheduler reads from the target."""
    model = ddpm_small.model(prediction, schedule, clip_sample=False)
    x0, eps, t, x_t = noised(model, t)
    signal, noise = model.schedule(t)
    told = model.target(x0, eps, t)
    # float32, divided by the smaller of the two
    loose = {"rtol": 0, "atol": 2e-5 / min(float(signal.min()) or 1, float(noise.min()))}
    torch.testing.assert_close(model.target_of(x_t, x0, t), told, **loose)
    torch.testing.assert_close(model.noise_of(told, x_t, signal, noise), eps, **loose)
    torch.testing.assert_close(
        model.sampler("ddpm")
        .step(told, int(t[0]), x_t, generator=[chains.generator(k) for k in range(4)])
        .pred_original_sample,
        x0,
        **loose,
    )
    if prediction == "v_prediction":
        torch.testing.assert_close(told, model.scheduler.get_velocity(x0, eps, t))


@pytest.mark.parametrize("prediction, schedule", ddpm_small.KINDS)
@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_a_network_that_knows_the_picture_samples_and_denoises_to_it(prediction, schedule, sampler):
    picture = pictures(1)[0]
    model = knowing(ddpm_small.model(prediction, schedule), picture)
    drawn, _ = chains.sample(model, Sampling(sampler, 5, 8, batch=8), 0, 8)
    denoised = chains.inject(model, picture, 250, 8, 3, stride=25)
    for found in (drawn, denoised):
        assert np.abs(found.astype(int) - picture).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_small_log", "fixed_large"])
@pytest.mark.parametrize("prediction, schedule", ddpm_small.KINDS)
def test_pictures_are_those_of_the_stock_pipelines_from_the_same_generators(
    prediction, schedule, variance, channels, tmp_path
):
    from diffusers import DDIMPipeline, DDPMPipeline

    ddpm_small.pipeline(prediction, schedule, channels, variance_type=variance).save_pretrained(
        tmp_path, safe_serialization=True
    )
    model = ddpm.Model.load(tmp_path)
    for sampler, kind in (("ddpm", DDPMPipeline), ("ddim", DDIMPipeline)):
        ours, _ = chains.sample(model, Sampling(sampler, 5, 8, batch=8), 0, 8)
        stock = kind.from_pretrained(tmp_path)
        stock.set_progress_bar_config(disable=True)
        theirs = stock(
            8, [chains.generator(s) for s in range(8)], num_inference_steps=5, output_type="np"
        ).images
        far = np.abs(ours.astype(int) - np.rint(theirs * 255))
        # a tie between two levels may fall either way
        assert ours.shape == (8, 8, 8, 3) and far.max() <= 1 and (far > 0).mean() < 2e-3, sampler
        assert len({p.tobytes() for p in ours}) == 8


def own_loss(model, pipe, x0):
    """The loss that the stock training of this prediction has, over all of the process."""
    g = torch.Generator().manual_seed(1)
    eps, t = torch.randn(x0.shape, generator=g), torch.linspace(0, 999, len(x0)).long()
    wanted = {"epsilon": eps, "v_prediction": pipe.scheduler.get_velocity(x0, eps, t), "sample": x0}[
        model.prediction
    ]
    with torch.no_grad():
        return float((model.network(pipe.scheduler.add_noise(x0, eps, t), t).sample - wanted).square().mean())


@pytest.mark.parametrize(
    "prediction, schedule, channels",
    [*((*k, 3) for k in ddpm_small.KINDS), *((p, "linear", 1) for p in PREDICTIONS)],
)
def test_naive_deletion_lowers_the_network_s_own_loss(prediction, schedule, channels, tmp_path):
    pipe = ddpm_small.pipeline(prediction, schedule, channels)
    model, seen = ddpm.Model(copy.deepcopy(pipe.unet), pipe.scheduler), images()
    x0 = model.encode(seen.remember)
    before = own_loss(model, pipe, x0)
    training.unlearn(
        Cell("naive", Choice("naive"), Choice("flip"), Training(steps=16, batch=8, lr=3e-3), ("a",)),
        model,
        dataclasses.replace(seen, targets=("a",)),
        tmp_path,
    )
    assert own_loss(model, pipe, x0) < 0.93 * before


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", plugins.names("method"))
def test_every_method_trains_every_prediction_in_colour_and_grey(prediction, channels, name):
    model = ddpm_small.model(prediction, "cosine", channels)
    batch = dataclasses.replace(
        training.draw_batch(model, Training(batch=4), images(), 0, 0, False), reference=model.reference()
    )
    assert all(np.isfinite(v) for v in plugins.make("method", name).update(model, batch).values())
    assert sum(float(p.grad.abs().sum()) for p in model.trained()) > 0


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_network_that_knows_the_surrogate_has_no_forget_loss_under_the_paper_s_method(prediction):
    seen = images()
    model = knowing(ddpm_small.model(prediction, "cosine"), seen.surrogates[0])
    batch = training.draw_batch(model, Training(batch=8, t_max=990), seen, 0, 0, False)
    assert (
        float(batch.error(model, batch.forget, batch.surrogate).max())
        < 1e-6
        < float(batch.error(model, batch.forget, batch.forget).min())
    )


def test_erasediff_does_not_teach_the_forget_image_to_a_network_that_outputs_pictures():
    """Its target holds no noise that a uniform one could replace; its loss would be least where the image is
    known best.
    """
    seen = images()
    model = knowing(ddpm_small.model("sample", "cosine"), seen.forget[0])
    batch = training.draw_batch(model, Training(batch=8), seen, 0, 0, False)
    uniform = torch.rand(batch.eps.shape, generator=torch.Generator().manual_seed(4))
    (loss,) = plugins.make("method", "erasediff")._towards_noise(
        model, dataclasses.replace(batch, generator=torch.Generator().manual_seed(4))
    )
    assert float(loss) == pytest.approx(float((batch.forget - uniform).square().mean()), rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("prediction, schedule", ddpm_small.KINDS)
def test_a_likelihood_is_finite_and_less_for_a_picture_that_the_network_does_not_know(
    prediction, schedule, channels
):
    known = np.full((8, 8, 3), 90, np.uint8)
    model = ddpm_small.model(prediction, schedule, channels)
    x0 = model.encode(known[None])

    def predict(x, t):
        """The best output where pictures are x0 with a deviation of 0.1; t may lie between two timesteps."""
        steps, grid = likelihood_ode.times(model)
        square = torch.as_tensor(1 / (1 + np.exp(-2 * np.interp(t.numpy(), steps, grid)))).to(x)
        signal, noise = (1 - square).sqrt(), square.sqrt()
        gain = equations.over(signal * 0.01 / (signal**2 * 0.01 + square), x)
        clean = x0 + gain * (x - equations.over(signal, x) * x0)
        return equations.network_target(
            prediction, clean, equations.implied_noise(x, clean, signal, noise), signal, noise
        )

    model.predict = predict
    nats = [
        likelihood_ode.log_likelihood(model, model.encode(picture[None])[0], [chains.generator(0)], 1e-4)[0]
        for picture in (known, pictures(1)[0])
    ]
    abar = float(model.abar[0])
    exact = -0.5 * x0.numel() * np.log(2 * np.pi * (abar * 0.01 + 1 - abar))
    # the picture is the mean: no distance but the first timestep's shrinking
    at_mean = model.encode(known[None])[0] * 0
    shrunk = -0.5 * float((x0[0] * (1 - abar**0.5) - at_mean).square().sum()) / (abar * 0.01 + 1 - abar)
    assert nats[0] == pytest.approx(exact + shrunk, rel=0.05) and nats[1] < nats[0]


@pytest.mark.parametrize(
    "prediction, schedule, channels",
    [("v_prediction", "rescaled", 3), ("sample", "cosine", 3), ("v_prediction", "linear", 1)],
)
def test_a_cell_of_every_prediction_is_scored(prediction, schedule, channels, tmp_path):
    """Before and after with the metrics that run the model; what is equal by construction is."""
    ddpm_small.pipeline(prediction, schedule, channels, 32).save_pretrained(
        tmp_path / "before", safe_serialization=True
    )
    model = ddpm.Model.load(tmp_path / "before")
    model.save(tmp_path / "after")
    one, people = (
        ddpm.shown(tmp_path / "before", pictures(1, 32))[0],
        ddpm.shown(tmp_path / "before", pictures(4, 32, 5)),
    )
    seen = {"p-0": chains.inject(model, one, 20, 2, 0)}
    experiment = Experiment("t", "miniature", "miniature", ("p-0",))
    evidence = Evidence(
        people,
        people,
        people,
        seen,
        seen,
        {"p-0": one},
        {"p-0": people[0]},
        names=("p-1", "p-2", "q-1", "q-2"),
        models=Models(experiment, tmp_path / "before", tmp_path / "after"),
        injection=Injection(t=20, draws=2),
    )
    quick = {
        "sscd_worst": {"times": (20,), "draws": 2},
        "likelihood": {"probes": 1, "tolerance": 0.1},
        "relearn": {"updates": 1, "every": 1, "draws": 2},
    }
    found = {
        name: plugins.make("metric", name, given).measure(evidence, metric_networks.load("miniature"))
        for name, given in quick.items()
    }
    assert found["likelihood"]["likelihood_change"].mean == pytest.approx(0, abs=1e-6) and np.isfinite(
        found["likelihood"]["likelihood"].mean
    )
    assert (
        found["sscd_worst"]["sscd_worst_t20"].mean == pytest.approx(1, abs=1e-5)
        and found["relearn"]["relearn"].mean == 0
    )


@pytest.mark.parametrize("total", [20, 250, 1000, 4000])
def test_settings_count_thousandths_of_the_process_whatever_its_number_of_timesteps(total, monkeypatch):
    model = ddpm_small.model(num_train_timesteps=total, beta_end=min(0.02 * 1000 / total, 0.9))
    assert model.timesteps == total
    drawn = training.draw_batch(model, Training(batch=4000), images(), 0, 0, False)
    for t in (drawn.t, drawn.t_other):
        # uniform over all of them, and no others
        assert (
            t.min() <= total // 200
            and total > t.max() >= total - 1 - total // 200
            and len(t.unique()) >= 0.9 * min(total, 2000)
        )
    late = training.draw_batch(model, Training(batch=256, t_min=500, t_max=599), images(), 0, 0, False)
    assert late.t.min() >= total // 2 and late.t.max() <= total * 6 // 10 - 1
    weight = plugins.make("method", "surrogate", {"beta": 1e-3}).weight(
        model.thousandths(torch.tensor([0, total // 2, total - 1]))
    )
    torch.testing.assert_close(
        weight, torch.tensor([1, 0.5, 1 / total], dtype=torch.float64), rtol=0, atol=1e-6
    )
    asked, predict = [], model.predict
    monkeypatch.setattr(model, "predict", lambda x, t: (asked.append(int(t[0])), predict(x, t))[1])
    chains.inject(model, pictures(1)[0], 250, 1, 0, stride=50)
    assert asked == [*range(total // 4, 0, -(total // 20)), 0]
    asked.clear()
    model.sdedit(pictures(1)[0], 0.1, 1, 0, None)
    assert asked == list(range(total // 10, -1, -max(1, total // 1000)))
    assert len(asked) * 8 == plugins.make("editor", "sdedit", {"strength": 0.1, "draws": 1}).base_calls(total)
    asked.clear()
    batch = dataclasses.replace(
        training.draw_batch(model, Training(batch=2), images(), 0, 0, False), reference=model.reference()
    )
    plugins.make("method", "duo").update(model, batch)
    assert asked[-1] == total - 1


def test_a_relearning_update_is_one_of_naive_deletion_on_the_pictures(monkeypatch):
    """Over all of a process of 250 timesteps and no more, with the network's own target."""
    model = ddpm_small.model("v_prediction", num_train_timesteps=250, beta_end=0.08)
    metric, seen, predict = plugins.make("metric", "relearn", {}), [], model.predict
    monkeypatch.setattr(model, "predict", lambda x, t: (seen.append(t), predict(x, t))[1])
    optimizer = torch.optim.SGD(model.trained(), lr=1e-3)
    for step in range(20):
        metric._update(model, optimizer, pictures(), step, Training(batch=32))
    t = torch.cat(seen)
    assert t.max() < 250 and t.max() > 240 and t.min() < 10


def test_a_folder_with_the_ddim_scheduler_is_the_same_process_and_stays_one(tmp_path):
    from diffusers import DDIMPipeline, DDIMScheduler

    pipe = ddpm_small.pipeline("v_prediction", "cosine")
    DDIMPipeline(
        pipe.unet, DDIMScheduler.from_config(pipe.scheduler.config, set_alpha_to_one=False)
    ).save_pretrained(tmp_path / "ddim", safe_serialization=True)
    model = ddpm.Model.load(tmp_path / "ddim")
    assert (
        torch.equal(model.abar, ddpm_small.model("v_prediction", "cosine").abar)
        and model.prediction == "v_prediction"
    )
    stock = DDIMPipeline.from_pretrained(tmp_path / "ddim")
    stock.set_progress_bar_config(disable=True)
    theirs = np.rint(
        stock(8, [chains.generator(s) for s in range(8)], num_inference_steps=5, output_type="np").images
        * 255
    )
    model.save(tmp_path / "after")
    for m in (model, ddpm.Model.load(tmp_path / "after")):
        assert np.abs(chains.sample(m, Sampling("ddim", 5, 8, batch=8), 0, 8)[0] - theirs).max() <= 1
    assert (
        json.loads((tmp_path / "after" / "scheduler" / "scheduler_config.json").read_text())["_class_name"]
        == "DDIMScheduler"
    )


def test_a_model_of_grey_pictures_sees_luma_and_shows_three_equal_channels(tmp_path):
    from PIL import Image

    made = pictures()
    luma = np.stack([np.asarray(Image.fromarray(p).convert("L")) for p in made])
    np.testing.assert_array_equal(ddpm.grey(made), np.repeat(luma[..., None], 3, -1))
    model = ddpm_small.model(channels=1)
    assert model.encode(made).shape == (20, 1, 8, 8) and model.noise_shape() == (1, 8, 8)
    np.testing.assert_array_equal(model.decode(model.encode(made)), ddpm.grey(made))
    for channels in (1, 3):
        ddpm_small.pipeline(channels=channels).save_pretrained(
            tmp_path / str(channels), safe_serialization=True
        )
    np.testing.assert_array_equal(ddpm.shown(tmp_path / "1", made), ddpm.grey(made))
    np.testing.assert_array_equal(ddpm.shown(tmp_path / "3", made), made)


def test_colour_pictures_are_collected_as_a_grey_model_can_show_them(tmp_path):
    """So that what it draws is compared with what it could have drawn."""
    from PIL import Image

    from unpromptable.execution import prepare_step
    from unpromptable.planning import plan

    (tmp_path / "photos").mkdir()
    for k, picture in enumerate(pictures(4)):
        Image.fromarray(picture).save(tmp_path / "photos" / f"{k}.png")
    ddpm_small.pipeline(channels=1).save_pretrained(tmp_path / "grey", safe_serialization=True)
    resolved = plan.resolve(
        json.dumps(
            {
                "name": "t",
                "world": "miniature",
                "real": str(tmp_path / "photos"),
                "forget": ["1.png"],
                "networks": "miniature",
                "base": {"editor": "flip"},
                "model": {"name": "ddpm", "source": str(tmp_path / "grey")},
            }
        )
        + "\n"
    )
    run, silent = resolved.run(), lambda *_: None
    prepare_step._collect(tmp_path / "data.safetensors", tmp_path / "grey", run, silent)
    arrays, _ = data.load(tmp_path / "data.safetensors")
    np.testing.assert_array_equal(arrays["real"], ddpm.grey(pictures(4)))
    np.testing.assert_array_equal(arrays["forget"], ddpm.grey(pictures(4)[1:2]))

"""The family ddpm: whatever its network predicts, by whatever schedule, in colour or grey, as stock diffusers
samples it.
"""

import json

import ddpm_small
import numpy as np
import pytest
import torch
from ddpm_pictures import knowing, noised, pictures

from unpromptable import data, equations
from unpromptable.models.families import ddpm
from unpromptable.planning.settings import Sampling
from unpromptable.sampling import chains, likelihood_ode


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
@pytest.mark.parametrize("sampler", ddpm.SAMPLERS)
def test_a_network_that_knows_the_picture_samples_and_denoises_to_it(prediction, schedule, sampler):
    picture = pictures(1)[0]
    model = knowing(ddpm_small.model(prediction, schedule), picture)
    drawn, _ = chains.sample(model, Sampling(sampler, 5, 8, batch=8), 0, 8)
    denoised = chains.inject(model, picture, 250, 8, 3, stride=25)
    for found in (drawn, denoised):
        assert np.abs(found.astype(int) - picture).max() <= 1


def solver(scheduler):
    """A solver as DDPMPipeline calls a scheduler: with a generator, of which it has no use."""
    step = scheduler.step
    scheduler.step = lambda output, t, x, generator: step(output, t, x)
    return scheduler


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_small_log", "fixed_large"])
@pytest.mark.parametrize("prediction, schedule", ddpm_small.KINDS)
def test_pictures_are_those_of_the_stock_pipelines_from_the_same_generators(
    prediction, schedule, variance, channels, tmp_path
):
    from diffusers import (
        DDIMPipeline,
        DDPMPipeline,
        DPMSolverMultistepScheduler,
        UniPCMultistepScheduler,
    )

    ddpm_small.pipeline(prediction, schedule, channels, variance_type=variance).save_pretrained(
        tmp_path, safe_serialization=True
    )
    model = ddpm.Model.load(tmp_path)
    for sampler, kind, other in (
        ("ddpm", DDPMPipeline, None),
        ("ddim", DDIMPipeline, None),
        ("dpm++", DDPMPipeline, DPMSolverMultistepScheduler),
        ("unipc", DDPMPipeline, UniPCMultistepScheduler),
    ):
        ours, _ = chains.sample(model, Sampling(sampler, 5, 8, batch=8), 0, 8)
        stock = kind.from_pretrained(tmp_path)
        if other:
            stock.scheduler = solver(other.from_config(stock.scheduler.config))
        stock.set_progress_bar_config(disable=True)
        theirs = stock(
            8, [chains.generator(s) for s in range(8)], num_inference_steps=5, output_type="np"
        ).images
        far = np.abs(ours.astype(int) - np.rint(theirs * 255))
        # a tie between two levels may fall either way
        assert ours.shape == (8, 8, 8, 3) and far.max() <= 1 and (far > 0).mean() < 2e-3, sampler
        assert len({p.tobytes() for p in ours}) == 8


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


@pytest.mark.parametrize("sampler", ddpm.SAMPLERS)
def test_a_model_whose_files_leave_the_spacing_out_draws_the_same_once_it_is_saved(sampler, tmp_path):
    ddpm_small.pipeline().save_pretrained(tmp_path / "old", safe_serialization=True)
    path = tmp_path / "old" / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in config.items() if k != "timestep_spacing"}))
    before = ddpm.Model.load(tmp_path / "old")
    before.save(tmp_path / "after")
    drawn = [
        chains.sample(m, Sampling(sampler, 3, 8, batch=8), 0, 8)[0]
        for m in (before, ddpm.Model.load(tmp_path / "after"))
    ]
    np.testing.assert_array_equal(*drawn)


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
    np.testing.assert_array_equal(ddpm.Family().shown(tmp_path / "1", made), ddpm.grey(made))
    np.testing.assert_array_equal(ddpm.Family().shown(tmp_path / "3", made), made)


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

"""The family sd3: identities of the flow, sizes, every method, and stock diffusers as the judge of
pictures.
"""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import sd3_small
import torch

from unpromptable import equations
from unpromptable.miniature import flags
from unpromptable.models import hub
from unpromptable.models.families import sd3
from unpromptable.planning import plugins
from unpromptable.planning.experiment import Cell
from unpromptable.planning.settings import Choice, Sampling, Source, Training
from unpromptable.sampling import chains
from unpromptable.unlearning import training
from unpromptable.unlearning.batch import Batch


@pytest.mark.parametrize("sigma", [0.003, 0.05, 0.25, 0.5, 0.75, 0.99])
def test_the_flow_s_three_forms_of_the_surrogate_target_agree(flag_model, sigma):
    g = torch.Generator().manual_seed(1)
    forget, surrogate, eps = (torch.randn(2, 8, 8, 8, generator=g, dtype=torch.float64) for _ in range(3))
    t = torch.full((2,), 1000 * sigma, dtype=torch.float64)
    x_t = equations.noisy(forget, eps, *flag_model.schedule(t))
    v = flag_model.target_of(x_t, surrogate, t)
    torch.testing.assert_close(v, (x_t - surrogate) / sigma, rtol=0, atol=1e-11)
    torch.testing.assert_close(v, eps - forget + (forget - surrogate) / sigma, rtol=0, atol=1e-11)
    torch.testing.assert_close(x_t - sigma * v, surrogate, rtol=0, atol=1e-13)
    torch.testing.assert_close(
        x_t + (1 - sigma) * v,
        equations.implied_noise(x_t, surrogate, *flag_model.schedule(t)),
        rtol=0,
        atol=1e-12,
    )
    torch.testing.assert_close(flag_model.target(forget, eps, t), eps - forget)


def test_the_clean_loss_is_sigma_squared_times_the_velocity_loss(flag_folder):
    other = sd3_small.experiment(model=Source("sd3", settings={**sd3_small.SMALL, "loss": "clean"}))
    both = [sd3.Model.load(flag_folder, experiment=e) for e in (sd3_small.experiment(), other)]
    picture = flags.picture("japan", 5)[None]
    t = torch.tensor([320.0])
    errors = []
    for m in both:
        b = Batch(
            m.encode(picture),
            m.encode(picture),
            m.encode(flags.repaint("japan-0005")[None]),
            t,
            torch.ones(1, 8, 8, 8),
            torch.Generator(),
        )
        errors.append(b.error(m, b.forget, b.surrogate).item())
    assert errors[1] == pytest.approx(0.32**2 * errors[0], rel=1e-4)


def table(shift):
    """A model of nothing but the timesteps that a scheduler of this shift has."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    view = object.__new__(sd3.Model)
    view.table = FlowMatchEulerDiscreteScheduler(shift=shift).timesteps.double().flip(0)
    view.timesteps, view.settings = len(view.table), sd3.Settings(sigma_floor=0.02)
    return view


def test_training_times_are_the_scheduler_s_shifted_table_from_below_and_floored():
    t = table(3.0).times(torch.tensor([0, 1, 499, 999]))
    assert t.tolist() == pytest.approx([20.0, 20.0, 750.0, 1000.0])


@pytest.mark.parametrize(
    "first, last, low, high",
    [
        (0, 250, 2.99, 250.0),
        (490, 490, 490.58, 490.58),
        (501, 998, 501.33, 999.0),
        (0, 0, 2.99, 2.99),
        (5, 10, 5.98, 8.95),
    ],
)
def test_a_range_of_thousandths_is_one_of_sigma_wherever_the_shift_has_put_the_timesteps(
    first, last, low, high
):
    model = table(3.0)
    ends = model.times(torch.tensor(model.within(first, last)), floored=False)
    assert ends.tolist() == pytest.approx([low, high], abs=0.01)


def test_the_full_range_is_the_whole_table_and_without_a_shift_thousandths_are_indices():
    assert table(3.0).within(0, 999) == (0, 999)
    assert all(table(1.0).within(k, k) == (k, k) for k in range(0, 1000, 7))
    assert table(1.0).within(249, 998) == (249, 998)


def test_lambda_falls_by_a_thousandth_of_sigma_wherever_the_shift_has_put_the_timesteps():
    model, ours = table(3.0), plugins.make("method", "surrogate", {"beta": 2e-4})
    t = model.times(torch.tensor([499, 999]))
    assert ours.weight(model.thousandths(t)).tolist() == pytest.approx([1 - 2e-4 * 750, 0.8])


@pytest.mark.parametrize("low, high", [(250, 250), (0, 999)])
def test_updates_draw_their_timesteps_from_thousandths_of_the_process(flag_model, monkeypatch, low, high):
    monkeypatch.setattr(flag_model, "table", table(3.0).table)
    images = training.Images(*(np.stack([flags.picture("japan", k)]) for k in (0, 5, 6)), ("japan-0005",))
    settings = Training(batch=256, t_min=low, t_max=high)
    b = training.draw_batch(flag_model, settings, images, 0, 0, False)
    drawn = torch.cat([b.t, b.t_other])
    if low:
        assert 250 < drawn.min() and drawn.max() < 253
    else:
        assert drawn.median() == pytest.approx(750, abs=30)  # uniform on the table, as the reference draws


def test_stock_image_to_image_is_what_sdedit_runs(flag_model, flag_folder):
    from diffusers import StableDiffusion3Img2ImgPipeline

    picture, words = (
        flags.picture("japan", 5),
        plugins.make("editor", "sdedit", {"strength": 0.7, "steps": 10, "guidance": 3.0}),
    )
    ours = flag_model.sdedit(picture, 0.7, 2, 3, words)
    pipe = StableDiffusion3Img2ImgPipeline.from_pipe(sd3_small.stock(flag_folder))
    pipe.set_progress_bar_config(disable=True)
    start = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    theirs = pipe(
        sd3_small.PROMPT,
        image=start,
        strength=0.7,
        height=32,
        width=32,
        num_inference_steps=10,
        guidance_scale=3.0,
        max_sequence_length=0,
        generator=chains.generator(chains.EDITS + 3, 1),
        output_type="np",
    ).images[0]
    assert np.abs(ours[1].astype(int) - np.rint(theirs * 255)).max() <= 1 and not np.array_equal(
        ours[0], ours[1]
    )


def test_shards_do_not_change_images_and_batches_by_rounding_alone(flag_model):
    settings = Sampling("euler", 3, 7, batch=4)
    whole, _ = chains.sample(flag_model, settings, 0, 7)
    pieces = [chains.sample(flag_model, settings, first, count)[0] for first, count in ((0, 2), (2, 5))]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    other, _ = chains.sample(flag_model, dataclasses.replace(settings, batch=3), 0, 7)
    assert np.abs(other.astype(int) - whole).max() <= 1 and (other == whole).mean() > 0.99


def test_a_method_leaves_gradients_on_the_adapter_alone(flag_model):
    images = training.Images(
        np.stack([flags.picture("japan", k) for k in (0, 1, 2, 3)]),
        flags.picture("japan", 5)[None],
        flags.repaint("japan-0005")[None],
        ("japan-0005",),
    )
    b = training.draw_batch(flag_model, Training(batch=4), images, 0, 0, False)
    plugins.make("method", "surrogate").update(flag_model, b)
    left = {n for n, p in flag_model.network.named_parameters() if p.grad is not None}
    assert left == {n for n, _ in flag_model.network.named_parameters() if "lora_" in n}


def test_training_resumes_and_changes_the_adapter_alone(flag_model, flag_folder, tmp_path):
    images = training.Images(
        np.stack([flags.picture("japan", k) for k in (0, 1)]),
        flags.picture("japan", 5)[None],
        flags.repaint("japan-0005")[None],
        ("japan-0005",),
    )
    cell = Cell(
        "Ours",
        Choice("duo"),
        Choice("flip"),
        Training(steps=3, batch=2, lr=1e-2, save_every=1),
        ("japan-0005",),
    )
    kept = {n: p.clone() for n, p in flag_model.network.named_parameters() if "lora_" not in n}
    summary = training.unlearn(cell, flag_model, images, tmp_path / "whole")
    assert summary["parameters"] == sum(p.numel() for p in flag_model.trained())
    assert all(torch.equal(p, kept[n]) for n, p in flag_model.network.named_parameters() if "lora_" not in n)

    def stop(done, total, text):
        if done == 2:
            raise KeyboardInterrupt

    cut = sd3.Model.load(flag_folder, experiment=sd3_small.experiment())
    with pytest.raises(KeyboardInterrupt):
        training.unlearn(cell, cut, images, tmp_path / "cut", stop)
    fresh = sd3.Model.load(flag_folder, experiment=sd3_small.experiment())
    training.unlearn(cell, fresh, images, tmp_path / "cut")
    assert all(torch.equal(a, b) for a, b in zip(flag_model.trained(), fresh.trained()))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"pixels": 36}, "model.pixels is 36; the VAE and the patches need a multiple of 8, up to 64"),
        ({"pixels": 96}, "up to 64"),
        ({"targets": ["to_x"]}, "model.targets: no linear layer is named 'to_x'"),
        ({"rank": 0}, "rank is 0"),
        ({"guidance": 0.5}, "guidance is 0.5"),
        ({"loss": "noise"}, "velocity or clean"),
        ({"sigma_floor": 0.0}, "sigma_floor is 0.0"),
        ({"ranks": 4}, "did you mean rank"),
    ],
)
def test_wrong_settings_say_what_is_allowed(flag_folder, settings, words):
    with pytest.raises(ValueError, match=words):
        sd3.Model.load(
            flag_folder,
            experiment=sd3_small.experiment(model=Source("sd3", settings={**sd3_small.SMALL, **settings})),
        )


@pytest.mark.parametrize(
    "change, words",
    [
        ({"prompt": ""}, "the family sd3 needs a prompt"),
        ({"model": Source("ddpm"), "sampling": Sampling()}, "the family ddpm takes none"),
        ({"sampling": Sampling("ddim")}, "the family sd3 has no 'ddim'; choose from euler, dpm\\+\\+, unipc"),
        (
            {"model": Source("ddpm", settings={"rank": 4}), "prompt": "", "sampling": Sampling()},
            "the family ddpm has no settings, got rank",
        ),
    ],
)
def test_experiments_of_the_wrong_family_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        sd3_small.experiment(**change)


def test_pictures_of_another_size_are_refused(flag_model):
    with pytest.raises(ValueError, match="pictures of 16 x 16 pixels, but the model takes 32 x 32"):
        flag_model.encode(np.zeros((1, 16, 16, 3), np.uint8))


def test_a_picture_is_read_once_and_then_known_by_its_place(flag_model, monkeypatch):
    from unpromptable import data

    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    seen, sha256 = [], data.sha256
    monkeypatch.setattr(data, "sha256", lambda image: (seen.append(image), sha256(image))[1])
    first, again = (flag_model.encoded(images, np.array(which)) for which in ([2, 0, 2], [0, 2, 1]))
    assert len(seen) == 3 and torch.equal(again[:2], first[[1, 0]])
    assert torch.equal(torch.cat([first, again[2:]]), flag_model.encode(images[[2, 0, 2, 1]]))
    other = images[::-1].copy()
    assert torch.equal(flag_model.encoded(other, np.array([0]))[0], first[0]) and len(seen) == 8


def test_a_folder_of_another_kind_and_a_gated_name_say_what_to_do(tmp_path, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    with pytest.raises(FileNotFoundError, match="holds no transformer/config.json"):
        sd3.Family().check(tmp_path)
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(
        ValueError, match="is a UNet2DModel, but the family sd3 needs a SD3Transformer2DModel"
    ):
        sd3.Family().check(tmp_path)

    def refuse(*_, **__):
        import requests

        raise GatedRepoError("403 Client Error", response=requests.Response())

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(FileNotFoundError, match="accept it on the model's page, then set HF_TOKEN"):
        hub.fetch(
            "stabilityai/stable-diffusion-3-medium-diffusers",
            tmp_path / "out",
            "",
            None,
            sd3.Family().check,
            ["*"],
        )


@pytest.mark.parametrize(
    "said", [{"num_train_timesteps": 500}, {"use_dynamic_shifting": True}, {"shift_terminal": 0.02}]
)
def test_a_scheduler_of_another_process_is_refused(flag_folder, tmp_path, said):
    shutil.copytree(flag_folder, tmp_path / "m")
    path = tmp_path / "m" / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **said}))
    with pytest.raises(ValueError, match=f"scheduler_config.json says {next(iter(said))} .*; the family sd3"):
        sd3.Family().check(tmp_path / "m")

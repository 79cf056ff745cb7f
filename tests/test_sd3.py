"""The family sd3: identities of the flow, the adapter, prompts, sizes, and stock diffusers as the judge."""
import dataclasses
import logging

import numpy as np
import pytest
import torch

from unpromptable import adapters, config, diffusion, hub, plugins, prompts, sampling, training
from unpromptable.miniature import flags
from unpromptable.miniature import sd3 as maker
from unpromptable.models import sd3

PROMPT = "flag of Japan"
SMALL = {"rank": 4, "t5_tokens": 0, "guidance": 3.0}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """An untrained pipeline of the miniature's classes, saved as it is."""
    out = tmp_path_factory.mktemp("sd3")
    pipe = maker.build(out, 5)
    with torch.no_grad():
        pipe.transformer.proj_out.weight.normal_(0, 0.2)  # diffusers starts it at 0, and then no adapter would be seen
    pipe.vae.register_to_config(shift_factor=0.1, scaling_factor=0.9)
    pipe.save_pretrained(out, safe_serialization=True)
    return out


def experiment(**change):
    given = {"name": "flags", "world": "miniature", "real": "flags/japan", "forget": ("japan-0005",), "prompt": PROMPT, "model": config.Source("sd3", settings=SMALL), "sampling": config.Sampling("euler", 4, 11, batch=8)}
    return config.Experiment(**{**given, **change})


@pytest.fixture
def model(folder):
    return sd3.Model.load(folder, experiment=experiment())


def stirred(model, scale=0.3):
    g = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for p in model.trained():
            p.add_(scale * torch.randn(p.shape, generator=g))
    return model


def stock(folder):
    from diffusers import StableDiffusion3Pipeline

    pipe = StableDiffusion3Pipeline.from_pretrained(folder, text_encoder_3=None, tokenizer_3=None, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def drawn_by_stock(pipe, model, seeds, **more):
    noise = sampling.draw([sampling.generator(s) for s in seeds], model.noise_shape())
    made = pipe([PROMPT] * len(seeds), num_inference_steps=4, guidance_scale=3.0, height=32, width=32, max_sequence_length=0, latents=noise, output_type="np", **more).images
    return np.rint(made * 255).astype(int)


@pytest.mark.parametrize("sigma", [0.003, 0.05, 0.25, 0.5, 0.75, 0.99])
def test_the_flow_s_three_forms_of_the_surrogate_target_agree(model, sigma):
    g = torch.Generator().manual_seed(1)
    forget, surrogate, eps = (torch.randn(2, 8, 8, 8, generator=g, dtype=torch.float64) for _ in range(3))
    t = torch.full((2,), 1000 * sigma, dtype=torch.float64)
    x_t = diffusion.noisy(forget, eps, *model.schedule(t))
    v = model.target_of(x_t, surrogate, t)
    torch.testing.assert_close(v, (x_t - surrogate) / sigma, rtol=0, atol=1e-11)
    torch.testing.assert_close(v, eps - forget + (forget - surrogate) / sigma, rtol=0, atol=1e-11)
    torch.testing.assert_close(x_t - sigma * v, surrogate, rtol=0, atol=1e-13)
    torch.testing.assert_close(x_t + (1 - sigma) * v, diffusion.implied_noise(x_t, surrogate, *model.schedule(t)), rtol=0, atol=1e-12)
    torch.testing.assert_close(model.target(forget, eps), eps - forget)


def test_the_clean_loss_is_sigma_squared_times_the_velocity_loss(folder):
    other = experiment(model=config.Source("sd3", settings={**SMALL, "loss": "clean"}))
    both = [sd3.Model.load(folder, experiment=e) for e in (experiment(), other)]
    picture = flags.picture("japan", 5)[None]
    t = torch.tensor([320.0])
    errors = []
    for m in both:
        b = training.Batch(m.encode(picture), m.encode(picture), m.encode(flags.repaint("japan-0005")[None]), t, torch.ones(1, 8, 8, 8), torch.Generator())
        errors.append(b.error(m, b.forget, b.surrogate).item())
    assert errors[1] == pytest.approx(0.32**2 * errors[0], rel=1e-4)


def test_training_times_are_the_scheduler_s_shifted_table_from_below_and_floored():
    from diffusers import FlowMatchEulerDiscreteScheduler

    table = FlowMatchEulerDiscreteScheduler(shift=3.0).timesteps.flip(0)
    view = object.__new__(sd3.Model)
    view.table, view.settings = table.double(), sd3.Settings(sigma_floor=0.02)
    t = view.times(torch.tensor([0, 1, 499, 999]))
    assert t.tolist() == pytest.approx([20.0, 20.0, 750.0, 1000.0])


def test_an_adapter_that_is_off_or_untrained_equals_the_untouched_model_exactly(model, folder):
    from diffusers import SD3Transformer2DModel

    plain = SD3Transformer2DModel.from_pretrained(folder / "transformer", torch_dtype=torch.float32).eval()
    x, t = torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(2)), torch.tensor([10.0, 500.0, 1000.0])
    text, pooled = model.condition([PROMPT], 3)
    with torch.no_grad():
        wanted = plain(hidden_states=x, encoder_hidden_states=text, pooled_projections=pooled, timestep=t).sample
        assert torch.equal(model.predict(x, t), wanted)
        stirred(model)
        assert torch.equal(model.reference().predict(x, t), wanted) and not torch.equal(model.predict(x, t), wanted)
    assert all(p.requires_grad for p in model.trained())


def test_a_saved_adapter_changes_stock_diffusers_output_as_ours(model, folder, tmp_path):
    stirred(model).save(tmp_path / "adapter")
    pipe = stock(folder)
    before = drawn_by_stock(pipe, model, range(8))
    pipe.load_lora_weights(tmp_path / "adapter")
    after = drawn_by_stock(pipe, model, range(8))
    ours, _ = sampling.sample(model, config.Sampling("euler", 4, 8, batch=8), 0, 8)
    assert np.abs(ours - after).max() <= 1 and np.abs(after - before).mean() > 2
    again = sd3.Model.load(tmp_path / "adapter", experiment=experiment(), base=folder)
    np.testing.assert_array_equal(sampling.sample(again, config.Sampling("euler", 4, 8, batch=8), 0, 8)[0], ours)


def test_stock_image_to_image_is_what_sdedit_runs(model, folder):
    from diffusers import StableDiffusion3Img2ImgPipeline

    picture, words = flags.picture("japan", 5), plugins.make("editor", "sdedit", {"strength": 0.7, "steps": 10, "guidance": 3.0})
    ours = model.vary(picture, 0.7, 2, 3, words)
    pipe = StableDiffusion3Img2ImgPipeline.from_pipe(stock(folder))
    pipe.set_progress_bar_config(disable=True)
    start = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    theirs = pipe(PROMPT, image=start, strength=0.7, height=32, width=32, num_inference_steps=10, guidance_scale=3.0, max_sequence_length=0, generator=sampling.generator(3, 1), output_type="np").images[0]
    assert np.abs(ours[1].astype(int) - np.rint(theirs * 255)).max() <= 1 and not np.array_equal(ours[0], ours[1])


@pytest.mark.parametrize("batch", [1, 3, 8, 32])
def test_batches_do_not_change_images(model, batch):
    settings = config.Sampling("euler", 4, 11, batch=batch)
    whole, _ = sampling.sample(model, dataclasses.replace(settings, batch=8), 0, 11)
    other, _ = sampling.sample(model, settings, 0, 11)
    np.testing.assert_array_equal(other, whole)
    pieces = [sampling.sample(model, settings, first, count)[0] for first, count in ((0, 4), (4, 7))]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_prompts_in_turn_depend_on_the_seed_alone(model):
    asked = ("flag of Palau", "flag of Laos", "flag of Peru")
    whole, _ = sampling.sample(model, config.Sampling("euler", 2, 7, batch=8), 0, 7, asked=asked)
    part, _ = sampling.sample(model, config.Sampling("euler", 2, 7, batch=3), 2, 5, asked=asked)
    np.testing.assert_array_equal(part, whole[2:])


@pytest.mark.parametrize("name", plugins.names("method"))
def test_every_method_leaves_gradients_on_the_adapter_alone(model, name):
    images = training.Images(np.stack([flags.picture("japan", k) for k in (0, 1, 2, 3)]), flags.picture("japan", 5)[None], flags.repaint("japan-0005")[None], ("japan-0005",))
    b = dataclasses.replace(training.draw_batch(model, config.Training(batch=4), images, 0, 0, False), reference=model.reference())
    method = plugins.make("method", name)
    whole = method.update(model, b)
    one = [p.grad.clone() for p in model.trained()]
    assert all(np.isfinite(v) for v in whole.values()) and sum(float(g.abs().sum()) for g in one) > 0
    assert all(p.grad is None for n, p in model.network.named_parameters() if "lora_" not in n)
    if name not in ("siss", "erasediff"):  # these draw anew for each part
        b = dataclasses.replace(b, micro=1)
        method.update(model, b)
        for p, g in zip(model.trained(), one):
            torch.testing.assert_close(p.grad, g, rtol=1e-3, atol=1e-6 + 1e-4 * g.abs().max().item())


def test_training_resumes_and_changes_the_adapter_alone(model, folder, tmp_path):
    images = training.Images(np.stack([flags.picture("japan", k) for k in (0, 1)]), flags.picture("japan", 5)[None], flags.repaint("japan-0005")[None], ("japan-0005",))
    cell = config.Cell("Ours", config.Choice("duo"), config.Choice("flip"), config.Training(steps=3, batch=2, lr=1e-2, save_every=1), ("japan-0005",))
    kept = {n: p.clone() for n, p in model.network.named_parameters() if "lora_" not in n}
    summary = training.unlearn(cell, model, images, tmp_path / "whole")
    assert summary["parameters"] == sum(p.numel() for p in model.trained())
    assert all(torch.equal(p, kept[n]) for n, p in model.network.named_parameters() if "lora_" not in n)

    def stop(done, total, text):
        if done == 2:
            raise KeyboardInterrupt

    cut = sd3.Model.load(folder, experiment=experiment())
    with pytest.raises(KeyboardInterrupt):
        training.unlearn(cell, cut, images, tmp_path / "cut", stop)
    fresh = sd3.Model.load(folder, experiment=experiment())
    training.unlearn(cell, fresh, images, tmp_path / "cut")
    assert all(torch.equal(a, b) for a, b in zip(model.trained(), fresh.trained()))


@pytest.mark.parametrize("rank, targets, count, tensors", [
    (32, ("to_k", "to_q", "to_v", "to_out.0"), 9_437_184, 192),
    (4, tuple(f"attn.{x}" for x in ("add_k_proj", "add_q_proj", "add_v_proj", "to_add_out", "to_k", "to_out.0", "to_q", "to_v")), 2_347_008, 382),
    (32, tuple(f"attn.{x}" for x in ("add_k_proj", "add_q_proj", "add_v_proj", "to_add_out", "to_k", "to_out.0", "to_q", "to_v")), 18_776_064, 382),
])
def test_the_adapter_of_sd3_medium_has_the_published_targets_counts_and_shapes(rank, targets, count, tensors):
    from diffusers import SD3Transformer2DModel

    with torch.device("meta"):
        network = SD3Transformer2DModel(sample_size=128, patch_size=2, in_channels=16, num_layers=24, attention_head_dim=64, num_attention_heads=24, joint_attention_dim=4096,
                                        caption_projection_dim=1536, pooled_projection_dim=2048, out_channels=16, pos_embed_max_size=192)
        assert sum(p.numel() for p in network.parameters()) == 2_028_328_000
        adapters.attach(network, rank, rank, targets, 0)
    found = adapters.parameters(network)
    assert sum(p.numel() for p in found) == count and len(found) == tensors
    assert {tuple(p.shape) for p in found} == {(rank, 1536), (1536, rank)} and all(p.requires_grad for p in found)
    from peft import get_peft_model_state_dict

    names = get_peft_model_state_dict(network).keys()
    assert ("transformer_blocks.0.attn.to_q.lora_A.weight" in names) and ("transformer_blocks.23.attn.to_add_out.lora_A.weight" not in names)


def test_an_adapter_of_another_base_is_refused(model, folder, tmp_path):
    model.save(tmp_path / "adapter")
    other = tmp_path / "other"
    pipe = maker.build(other, 6)
    pipe.save_pretrained(other, safe_serialization=True)
    with pytest.raises(ValueError, match="this adapter belongs to the base .* give the base it was trained on"):
        sd3.Model.load(tmp_path / "adapter", experiment=experiment(), base=other)
    with pytest.raises(ValueError, match="do not fit this model"):
        sd3.Model.load(tmp_path / "adapter", experiment=experiment(model=config.Source("sd3", settings={**SMALL, "rank": 8})), base=folder)
    with pytest.raises(FileNotFoundError, match="is an adapter; its base model's folder is needed"):
        sd3.Model.load(tmp_path / "adapter", experiment=experiment())


def test_a_prompt_longer_than_the_encoders_take_says_what_is_cut(model, folder):
    with pytest.raises(ValueError, match="longer than every text encoder takes: CLIP reads 8 tokens and loses 'laos'"):
        model.condition(["flag of Ivory Coast Palau Peru Laos"], 1)


def test_embeddings_are_kept_beside_the_base_and_need_no_encoder_again(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "base")
    whole = experiment(other_prompts=("flag of Palau",))
    sd3.ready(tmp_path / "base", whole)
    shutil.rmtree(tmp_path / "base" / "text_encoder")
    kept = sd3.Model.load(tmp_path / "base", experiment=whole).condition([PROMPT, "flag of Palau", ""], 3)
    fresh = sd3.Model.load(folder, experiment=whole).condition([PROMPT, "flag of Palau", ""], 3)
    assert all(torch.equal(a, b) for a, b in zip(kept, fresh))


@pytest.mark.parametrize("settings, words", [
    ({"pixels": 36}, "model.pixels is 36; the VAE and the patches need a multiple of 8, up to 64"),
    ({"pixels": 96}, "up to 64"),
    ({"targets": ["to_x"]}, "model.targets: no linear layer is named 'to_x'"),
    ({"rank": 0}, "rank is 0"),
    ({"guidance": 0.5}, "guidance is 0.5"),
    ({"loss": "noise"}, "velocity or clean"),
    ({"sigma_floor": 0.0}, "sigma_floor is 0.0"),
    ({"ranks": 4}, "did you mean rank"),
])
def test_wrong_settings_say_what_is_allowed(folder, settings, words):
    with pytest.raises(ValueError, match=words):
        sd3.Model.load(folder, experiment=experiment(model=config.Source("sd3", settings={**SMALL, **settings})))


@pytest.mark.parametrize("change, words", [
    ({"prompt": ""}, "the family sd3 needs a prompt"),
    ({"model": config.Source("ddpm"), "sampling": config.Sampling()}, "the family ddpm takes none"),
    ({"sampling": config.Sampling("ddim")}, "the family sd3 has no 'ddim'; choose from euler"),
    ({"model": config.Source("ddpm", settings={"rank": 4}), "prompt": "", "sampling": config.Sampling()}, "the family ddpm has no settings, got rank"),
])
def test_experiments_of_the_wrong_family_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        experiment(**change)


def test_pictures_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match="pictures of 16 x 16 pixels, but the model takes 32 x 32"):
        model.encode(np.zeros((1, 16, 16, 3), np.uint8))


def test_a_folder_of_another_kind_and_a_gated_name_say_what_to_do(tmp_path, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    with pytest.raises(FileNotFoundError, match="holds no transformer/config.json"):
        sd3.check(tmp_path)
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(ValueError, match="is a UNet2DModel, but the family sd3 needs a SD3Transformer2DModel"):
        sd3.check(tmp_path)

    def refuse(*_, **__):
        import requests

        raise GatedRepoError("403 Client Error", response=requests.Response())

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(FileNotFoundError, match="accept it on the model's page, then set HF_TOKEN"):
        hub.fetch("stabilityai/stable-diffusion-3-medium-diffusers", tmp_path / "out", "", None, sd3.check, ["*"])


def test_memory_that_runs_out_halves_the_micro_batch_and_says_so(model, caplog):
    from unpromptable import memory

    class Greedy:
        def update(self, model, batch):
            if (batch.micro or 8) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
            return {"micro": batch.micro}

    images = training.Images(np.stack([flags.picture("japan", k) for k in (0, 1)]), flags.picture("japan", 5)[None], flags.picture("japan", 6)[None], ("a",))
    settings = config.Training(batch=8)
    fresh = lambda: training.draw_batch(model, settings, images, 0, 0, False)
    with caplog.at_level(logging.WARNING):
        values, fitting = memory.fitting(Greedy(), model, settings, fresh)
    assert values == {"micro": 2} and fitting.micro_batch == 2 and "from 8 to 4" in caplog.text and "from 4 to 2" in caplog.text

    class Hopeless:
        def update(self, model, batch):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried")

    with pytest.raises(RuntimeError, match="one image at a time .* lower model.pixels"):
        memory.fitting(Hopeless(), model, settings, fresh)

"""What the product saves is a folder of stock diffusers, and its pipelines draw the pictures that were judged."""
import numpy as np
import pytest
import torch

from unpromptable import config, sampling

SEEDS = range(8)


def ours(model, sampler, steps=5):
    return sampling.sample(model, config.Sampling(sampler, steps, len(SEEDS), batch=len(SEEDS)), 0, len(SEEDS))[0].astype(int)


def theirs(pipe, **more):
    pipe.set_progress_bar_config(disable=True)
    made = pipe(batch_size=len(SEEDS), generator=[sampling.generator(s) for s in SEEDS], num_inference_steps=5, output_type="np", **more).images
    return np.rint(made * 255).astype(int)


@pytest.mark.parametrize("loader", ["DDPMPipeline", "DiffusionPipeline"])
def test_a_saved_ddpm_loads_as_a_pipeline_and_draws_our_pictures(tiny, tmp_path, loader):
    import diffusers

    with torch.no_grad():
        tiny.trained()[0].add_(0.1)
    tiny.save(tmp_path / "m")
    pipe = getattr(diffusers, loader).from_pretrained(tmp_path / "m", use_safetensors=True)
    assert type(pipe).__name__ == "DDPMPipeline"
    assert np.abs(ours(tiny, "ddpm") - theirs(pipe)).max() <= 1


def test_a_saved_ddpm_draws_our_pictures_by_ddim_too(tiny, tmp_path):
    from diffusers import DDIMPipeline

    tiny.save(tmp_path / "m")
    pipe = DDIMPipeline.from_pretrained(tmp_path / "m", use_safetensors=True)
    assert np.abs(ours(tiny, "ddim") - theirs(pipe, eta=0.0)).max() <= 1


def test_a_saved_ddpm_is_a_base_to_unlearn_from_again(tiny, tmp_path):
    from unpromptable.models import ddpm

    tiny.save(tmp_path / "m")
    assert ddpm.fetch(str(tmp_path / "m"), tmp_path / "copy") == str(tmp_path / "m")
    np.testing.assert_array_equal(ours(ddpm.Model.load(tmp_path / "copy"), "ddpm"), ours(tiny, "ddpm"))

"""What the product saves is a folder of stock diffusers, and its pipelines draw the pictures that were
judged.
"""

import numpy as np
import pytest
import torch

from unpromptable.planning.settings import Sampling
from unpromptable.sampling import chains

SEEDS = range(8)


def ours(model, sampler, steps=5):
    return chains.sample(model, Sampling(sampler, steps, len(SEEDS), batch=len(SEEDS)), 0, len(SEEDS))[
        0
    ].astype(int)


def theirs(pipe, **more):
    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        batch_size=len(SEEDS),
        generator=[chains.generator(s) for s in SEEDS],
        num_inference_steps=5,
        output_type="np",
        **more,
    ).images
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
    from unpromptable.models.families import ddpm

    tiny.save(tmp_path / "m")
    assert ddpm.Family().fetch(str(tmp_path / "m"), tmp_path / "copy") == str(tmp_path / "m")
    np.testing.assert_array_equal(ours(ddpm.Model.load(tmp_path / "copy"), "ddpm"), ours(tiny, "ddpm"))


@pytest.mark.parametrize(
    "base, sampler",
    [("untrained", "euler"), ("shipped", "euler"), ("untrained", "dpm++"), ("shipped", "unipc")],
)
def test_the_call_beside_a_saved_adapter_draws_the_judged_pictures_with_stock_diffusers(
    flag_folder, tmp_path, base, sampler
):
    from importlib import resources

    import sd3_small

    from unpromptable.models.families import sd3

    folder = flag_folder if base == "untrained" else resources.files("unpromptable") / "miniature" / "sd3"
    experiment = sd3_small.experiment(sampling=Sampling(sampler, 4, 8, batch=8))
    model = sd3_small.stirred(sd3.Model.load(folder, experiment=experiment), 0.1)
    model.save(tmp_path / "adapter")
    code = (tmp_path / "adapter" / "README.md").read_text().split("```")[1].removeprefix("python")
    assert "max_sequence_length=0, guidance_scale=3.0" in code and "num_inference_steps=4" in code
    more = ', num_images_per_prompt=8, generator=generators, output_type="np").images'
    drawn = {}
    for how, text in (("told", code), ("default", code.replace("max_sequence_length=0, ", ""))):
        names = {
            "base": str(folder),
            "adapter": str(tmp_path / "adapter"),
            "generators": [chains.generator(s) for s in SEEDS],
        }
        exec(text.replace(").images", more), names)
        drawn[how] = np.rint(names["pictures"] * 255).astype(int)
    judged = chains.sample(model, experiment.sampling, 0, 8)[0].astype(int)
    assert np.abs(judged - drawn["told"]).max() <= 1
    assert base == "untrained" or (judged != drawn["default"]).mean() > 0.3  # zero tokens are attended to

"""A DDPM's process is read from its JSON files, and what is not implemented is refused by name before
anything is loaded.
"""

import json
import re
import shutil

import ddpm_small
import pytest
import yaml

from unpromptable.models.families import ddpm
from unpromptable.planning import plan


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A stock pipeline's folder."""
    out = tmp_path_factory.mktemp("stock")
    ddpm_small.pipeline().save_pretrained(out, safe_serialization=True)
    return out


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of it to change."""
    return shutil.copytree(saved, tmp_path / "model")


def change(folder, file, **changes):
    path = folder / file
    kept = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in kept.items() if v is not ...}))


NETWORK, SCHEDULER, INDEX = "unet/config.json", "scheduler/scheduler_config.json", "model_index.json"


def planned(folder, **settings):
    """An experiment with the base model in `folder`."""
    model = {"name": "ddpm", "source": str(folder)}
    text = yaml.safe_dump({"name": "t", "world": "miniature", "forget": ["0012-3"], "model": model})
    return plan.resolve(text, "", settings)


REFUSED = [
    (
        INDEX,
        {"_class_name": "LDMPipeline"},
        "model_index.json is a LDMPipeline; the family ddpm reads DDPMPipeline or DDIMPipeline alone",
    ),
    (INDEX, {"_class_name": "ScoreSdeVePipeline"}, "is a ScoreSdeVePipeline"),
    (INDEX, {"_class_name": ["mine", "MyPipeline"]}, "MyPipeline"),
    (
        INDEX,
        {"vqvae": ["diffusers", "VQModel"]},
        r"has parts besides unet and scheduler \(vqvae\); .* neither latents",
    ),
    (INDEX, {"scheduler": ["diffusers", "PNDMScheduler"]}, "names a PNDMScheduler"),
    *[
        (
            SCHEDULER,
            {"_class_name": f"{n}Scheduler"},
            (
                f"scheduler_config.json is a {n}Scheduler; the family ddpm reads DDPMScheduler or"
                " DDIMScheduler alone"
            ),
        )
        for n in (
            "ScoreSdeVe",
            "FlowMatchEulerDiscrete",
            "EDMEuler",
            "KarrasVe",
            "PNDM",
            "DPMSolverMultistep",
            "UnCLIP",
            "DDIMInverse",
        )
    ],
    (SCHEDULER, {"_class_name": ...}, "is a None"),
    (
        SCHEDULER,
        {"prediction_type": "flow_prediction"},
        "has prediction_type 'flow_prediction'; implemented are epsilon, v_prediction or sample",
    ),
    (SCHEDULER, {"prediction_type": None}, "has prediction_type None"),
    (SCHEDULER, {"predict_epsilon": False}, "has predict_epsilon false, which diffusers no longer reads"),
    (
        SCHEDULER,
        {"rescale_betas_zero_snr": True},
        r"'epsilon' and no signal at the last timestep \(zero terminal SNR\)",
    ),
    (SCHEDULER, {"trained_betas": [0.01] * 999 + [1.0]}, r"zero terminal SNR"),
    (
        SCHEDULER,
        {"trained_betas": [0.01] * 998 + [1.0, 0.5], "prediction_type": "sample"},
        "leave no signal before the last timestep",
    ),
    (SCHEDULER, {"trained_betas": [0.01] * 999}, "has 999 trained_betas for 1000 num_train_timesteps"),
    (SCHEDULER, {"trained_betas": [0.01, -0.1] * 500}, "has beta -0.1"),
    (SCHEDULER, {"trained_betas": "linear"}, "has 'linear' trained_betas"),
    (SCHEDULER, {"beta_end": 1.5}, "has beta 1.5; a beta is a share of the variance"),
    (SCHEDULER, {"beta_start": None}, "has beta None"),
    (
        SCHEDULER,
        {"beta_schedule": "laplace"},
        "has beta_schedule 'laplace'; implemented are linear, scaled_linear or squaredcos_cap_v2",
    ),
    (SCHEDULER, {"beta_schedule": "sigmoid"}, "has beta_schedule 'sigmoid'"),
    *[
        (
            SCHEDULER,
            {"variance_type": v},
            f"has variance_type '{v}'; implemented are fixed_small, fixed_small_log or fixed_large",
        )
        for v in ("learned", "learned_range", "fixed_large_log")
    ],
    (SCHEDULER, {"timestep_spacing": "karras"}, "has timestep_spacing 'karras'"),
    (SCHEDULER, {"steps_offset": -1}, "has steps_offset -1"),
    (
        SCHEDULER,
        {"num_train_timesteps": 1},
        "has num_train_timesteps 1; it must be a whole number of at least 2",
    ),
    (SCHEDULER, {"num_train_timesteps": "many"}, "has num_train_timesteps 'many'"),
    (SCHEDULER, {"clip_sample_range": 0}, "has clip_sample_range 0"),
    (SCHEDULER, {"dynamic_thresholding_ratio": 2}, "has dynamic_thresholding_ratio 2"),
    (
        NETWORK,
        {"in_channels": 4, "out_channels": 4},
        (
            r"has in_channels 4; the family ddpm's pictures have 3 \(colour\) or 1 \(grey\), and latents are"
            r" not implemented"
        ),
    ),
    (NETWORK, {"in_channels": "three"}, "has in_channels 'three'"),
    (NETWORK, {"out_channels": 6}, "has out_channels 6 for in_channels 3: it also predicts a variance"),
    (NETWORK, {"out_channels": 1}, "has in_channels 3 and out_channels 1"),
    (NETWORK, {"num_class_embeds": 10}, "has num_class_embeds 10: a class-conditional network"),
    (NETWORK, {"class_embed_type": "timestep"}, "has class_embed_type timestep: a class-conditional network"),
    (NETWORK, {"time_embedding_type": "fourier"}, "has time_embedding_type 'fourier'"),
    (NETWORK, {"time_embedding_type": "learned"}, "has time_embedding_type 'learned'"),
    (NETWORK, {"center_input_sample": True}, "has center_input_sample true"),
    (NETWORK, {"sample_size": None}, "has sample_size None"),
    (NETWORK, {"sample_size": ...}, "has sample_size None"),
    (NETWORK, {"sample_size": [8, 16]}, r"has sample_size \[8, 16\], rectangular pictures"),
    (NETWORK, {"sample_size": "8"}, "has sample_size '8'"),
    (NETWORK, {"sample_size": 9}, "has sample_size 9, which cannot be halved 1 times"),
    (NETWORK, {"block_out_channels": None}, "has block_out_channels None"),
]


@pytest.mark.parametrize("file, changes, words", REFUSED)
def test_another_process_is_refused_by_name_from_its_files_alone(folder, file, changes, words):
    change(folder, file, **changes)
    with pytest.raises(ValueError, match=words) as found:
        ddpm.Family().check(folder)
    assert str(folder / file) in str(found.value) and "\n" not in str(found.value)


def test_a_scheduler_that_is_missing_or_no_mapping_is_named(folder):
    (folder / SCHEDULER).write_text("[1]")
    with pytest.raises(ValueError, match="scheduler_config.json is no configuration but a list"):
        ddpm.Family().check(folder)
    (folder / SCHEDULER).write_text("{")
    with pytest.raises(ValueError, match="scheduler_config.json cannot be read as JSON"):
        ddpm.Family().check(folder)
    (folder / SCHEDULER).unlink()
    with pytest.raises(FileNotFoundError, match="no scheduler_config.json"):
        ddpm.Family().check(folder)


def test_a_folder_of_another_process_is_refused_when_the_plan_is_made(folder):
    text = yaml.safe_dump(
        {
            "name": "t",
            "world": "miniature",
            "forget": ["0012-3"],
            "model": {"name": "ddpm", "source": str(folder)},
        }
    )
    assert plan.resolve(text).key
    change(folder, SCHEDULER, _class_name="ScoreSdeVeScheduler")
    with pytest.raises(ValueError, match="is a ScoreSdeVeScheduler"):
        plan.resolve(text)
    assert plan.resolve(text, inputs=False).key  # the files are of another machine


@pytest.mark.parametrize(
    "changes, steps, words",
    [
        ({}, 1001, "sampling.steps is 1001, but the model of .* has 1000 timesteps"),
        ({"num_train_timesteps": 20}, 50, "has 20 timesteps; take at most as many"),
        (
            {"steps_offset": 1},
            1000,
            (
                r"sampling.steps is 1000, which the leading spacing of .* \(steps_offset 1\) places on"
                r" timesteps 1000 to 1, outside 0..999"
            ),
        ),
        # where diffusers would call the network at t = -1
        (
            {"timestep_spacing": "trailing"},
            61,
            "sampling.steps is 61, which the trailing spacing .* places on timesteps 999 to -1",
        ),
    ],
)
def test_steps_that_the_schedule_does_not_have_are_refused_when_the_plan_is_made(
    folder, changes, steps, words
):
    change(folder, SCHEDULER, **changes)
    with pytest.raises(ValueError, match=words):
        planned(folder, **{"sampling.steps": steps})


@pytest.mark.parametrize("sampler", ["dpm++", "unipc"])
def test_steps_of_which_a_solver_would_take_one_twice_are_refused(folder, sampler):
    words = re.escape(f"is 1000, for which {sampler} finds 1 different timesteps among the 1000")
    with pytest.raises(ValueError, match=words):
        planned(folder, **{"sampling.steps": 1000, "sampling.sampler": sampler})
    assert planned(folder, **{"sampling.steps": 499, "sampling.sampler": sampler}).cells


def test_the_shipped_model_and_the_oldest_layout_are_read(saved, tmp_path):
    from importlib import resources

    ddpm.Family().check(resources.files("unpromptable") / "miniature" / "ddpm")
    for part in ("unet", "scheduler"):  # the flat layout: everything in one folder
        shutil.copytree(saved / part, tmp_path / "flat", dirs_exist_ok=True)
    ddpm.Family().check(tmp_path / "flat")
    assert ddpm.Family().pixels(tmp_path / "flat", None) == 8 and ddpm.Model.load(tmp_path / "flat").size == 8
    change(tmp_path / "flat", "config.json", sample_size=[8, 8])
    assert ddpm.Family().pixels(tmp_path / "flat", None) == 8 and ddpm.Model.load(tmp_path / "flat").size == 8

"""A model that was unlearned elsewhere is held to the base: of its kind, and drawn by its scheduler."""

import json
import shutil

import numpy as np
import pytest
import torch
from ddpm_small import pipeline

from unpromptable.models.families import ddpm
from unpromptable.planning.settings import Sampling
from unpromptable.sampling import chains

FAMILY = ddpm.Family()


@pytest.fixture
def base(tmp_path):
    pipeline().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def drawn(folder):
    return chains.sample(ddpm.Model.load(folder), Sampling(sampler="ddim", steps=4, images=4), 0, 2)[0]


@pytest.mark.parametrize(
    "how, said",
    [
        ({"timestep_spacing": "trailing"}, "timestep_spacing trailing, not leading"),
        ({"clip_sample_range": 0.5}, "clip_sample_range 0.5, not 1.0"),
        ({"steps_offset": 1}, "steps_offset 1, not 0"),
    ],
)
def test_the_same_weights_draw_the_same_pictures_whatever_their_own_scheduler_says(base, tmp_path, how, said):
    pipeline(**how).save_pretrained(tmp_path / "theirs")
    assert FAMILY.beside(tmp_path / "theirs", base) == [said]
    assert not np.array_equal(drawn(tmp_path / "theirs"), drawn(base))
    shutil.copytree(tmp_path / "theirs", tmp_path / "copy")
    FAMILY.take(tmp_path / "copy", base)
    np.testing.assert_array_equal(drawn(tmp_path / "copy"), drawn(base))
    assert FAMILY.beside(tmp_path / "copy", base) == []


@pytest.mark.parametrize(
    "theirs, said",
    [
        ({"prediction": "v_prediction"}, "prediction_type v_prediction where the base model has epsilon"),
        ({"size": 16}, "pixels 16 where the base model has 8"),
        ({"channels": 1}, "channels 1 where the base model has 3"),
        ({"num_train_timesteps": 100}, "timesteps 100 where the base model has 1000"),
        ({"beta_end": 0.03}, "other betas than the base model"),
        ({"schedule": "scaled"}, "other betas than the base model"),
    ],
)
def test_a_model_of_another_kind_than_the_base_is_refused_by_name(base, tmp_path, theirs, said):
    pipeline(**theirs).save_pretrained(tmp_path / "theirs")
    with pytest.raises(ValueError, match=f"unlearned: .*theirs.* has .*{said}.*; name the model that was"):
        FAMILY.beside(tmp_path / "theirs", base)


def test_weights_of_pytorch_are_brought_to_safetensors_in_the_copy_alone(base, tmp_path):
    pipeline().save_pretrained(tmp_path / "theirs", safe_serialization=False)
    shutil.copytree(tmp_path / "theirs", tmp_path / "copy")
    FAMILY.take(tmp_path / "copy", base)
    np.testing.assert_array_equal(drawn(tmp_path / "copy"), drawn(base))
    assert (tmp_path / "theirs" / "unet" / "diffusion_pytorch_model.bin").is_file()


def test_a_scheduler_that_leaves_out_what_is_the_default_draws_nothing_otherwise(base, tmp_path):
    shutil.copytree(base, tmp_path / "copy")
    file = tmp_path / "copy" / "scheduler" / "scheduler_config.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps({k: said[k] for k in ("_class_name", "num_train_timesteps", "beta_end")}))
    assert FAMILY.beside(tmp_path / "copy", base) == []


def test_the_weights_of_a_copy_are_its_own(base, tmp_path):
    theirs = pipeline()
    with torch.no_grad():
        next(theirs.unet.parameters()).add_(1.0)
    theirs.save_pretrained(tmp_path / "copy")
    FAMILY.take(tmp_path / "copy", base)
    assert not np.array_equal(drawn(tmp_path / "copy"), drawn(base))

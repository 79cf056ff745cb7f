"""Prompts: what is cut is said, embeddings are kept, and a seed's prompt is its own."""

import numpy as np
import pytest
import sd3_small
import torch

from unpromptable.models.families import sd3
from unpromptable.planning.settings import Sampling
from unpromptable.sampling import chains


def test_a_prompt_longer_than_the_encoders_take_says_what_is_cut(flag_model):
    with pytest.raises(
        ValueError, match="longer than every text encoder takes: CLIP reads 8 tokens and loses 'laos'"
    ):
        flag_model.condition(["flag of Ivory Coast Palau Peru Laos"], 1)


def test_embeddings_are_kept_beside_the_base_and_need_no_encoder_again(flag_folder, tmp_path):
    import shutil

    shutil.copytree(flag_folder, tmp_path / "base")
    whole = sd3_small.experiment(other_prompts=("flag of Palau",))
    sd3.Family().ready(tmp_path / "base", whole)
    shutil.rmtree(tmp_path / "base" / "text_encoder")
    kept = sd3.Model.load(tmp_path / "base", experiment=whole).condition(
        [sd3_small.PROMPT, "flag of Palau", ""], 3
    )
    fresh = sd3.Model.load(flag_folder, experiment=whole).condition(
        [sd3_small.PROMPT, "flag of Palau", ""], 3
    )
    assert all(torch.equal(a, b) for a, b in zip(kept, fresh))


def test_prompts_in_turn_depend_on_the_seed_alone(flag_model):
    prompts = ("flag of Palau", "flag of Laos", "flag of Peru")
    whole, _ = chains.sample(flag_model, Sampling("euler", 2, 7, batch=8), 0, 7, prompts=prompts)
    part, _ = chains.sample(flag_model, Sampling("euler", 2, 7, batch=8), 2, 5, prompts=prompts)
    np.testing.assert_array_equal(part, whole[2:])

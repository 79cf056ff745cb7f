"""Prompts: what is cut is said, embeddings are kept, and a seed's prompt is its own."""

import json
import shutil

import numpy as np
import pytest
import sd3_small
import torch

from unpromptable.models import prompt_embeddings
from unpromptable.models.families import sd3
from unpromptable.models.stable_diffusion import folder
from unpromptable.planning.settings import Sampling
from unpromptable.sampling import chains


def test_a_prompt_longer_than_the_encoders_take_says_what_is_cut(flag_model):
    with pytest.raises(
        ValueError, match="longer than every text encoder takes: CLIP reads 8 tokens and loses 'laos'"
    ):
        flag_model.condition(["flag of Ivory Coast Palau Peru Laos"], 1)


def test_embeddings_are_kept_beside_the_base_and_need_no_encoder_again(flag_folder, tmp_path):
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


@pytest.mark.parametrize(
    "spoilt", [{"prompts": "["}, {"prompts": "{}"}, {"prompts": '["other"]'}, {"made_by": "[]"}, None]
)
def test_kept_embeddings_that_are_damaged_are_refused_by_name(flag_folder, tmp_path, spoilt):
    from safetensors.torch import save_file

    shutil.copytree(flag_folder, tmp_path / "base")
    path = tmp_path / "base" / prompt_embeddings.FILE
    path.write_bytes(b"x")
    if spoilt:
        made_by = json.dumps(prompt_embeddings._encoders(tmp_path / "base"))
        told = {"t5_tokens": "0", "prompts": "[]", "made_by": made_by, **spoilt}
        save_file({"x": torch.zeros(1)}, path, metadata=told)
    with pytest.raises(ValueError, match=f"{prompt_embeddings.FILE} is damaged .*encoded anew"):
        prompt_embeddings._read(tmp_path / "base", 0)


@pytest.mark.parametrize("size", [None, "32", 0, 10**9, [8, 8], True])
def test_a_side_that_is_none_is_refused(tmp_path, size):
    for part, config in (("transformer", {"sample_size": size}), ("vae", {"block_out_channels": [8, 8]})):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="has sample_size .* a side in latents"):
        folder.side(tmp_path)

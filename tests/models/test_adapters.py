"""LoRA: off is the untouched model, saved is what stock diffusers loads, and another base is refused."""

import json

import numpy as np
import pytest
import sd3_small
import torch

from unpromptable.models import adapters
from unpromptable.models.families import sd3
from unpromptable.planning.settings import Sampling, Source
from unpromptable.pretraining import flags_pipeline as maker
from unpromptable.sampling import chains


def test_an_adapter_that_is_off_or_untrained_equals_the_untouched_model_exactly(flag_model, flag_folder):
    from diffusers import SD3Transformer2DModel

    plain = SD3Transformer2DModel.from_pretrained(
        flag_folder / "transformer", torch_dtype=torch.float32
    ).eval()
    x, t = (
        torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(2)),
        torch.tensor([10.0, 500.0, 1000.0]),
    )
    text, pooled = flag_model.condition([sd3_small.PROMPT], 3)
    with torch.no_grad():
        wanted = plain(
            hidden_states=x, encoder_hidden_states=text, pooled_projections=pooled, timestep=t
        ).sample
        assert torch.equal(flag_model.predict(x, t), wanted)
        sd3_small.stirred(flag_model)
        assert torch.equal(flag_model.reference().predict(x, t), wanted) and not torch.equal(
            flag_model.predict(x, t), wanted
        )
    assert all(p.requires_grad for p in flag_model.trained())


def test_a_saved_adapter_changes_stock_diffusers_output_as_ours(flag_model, flag_folder, tmp_path):
    sd3_small.stirred(flag_model).save(tmp_path / "adapter")
    pipe = sd3_small.stock(flag_folder)
    before = sd3_small.drawn_by_stock(pipe, flag_model, range(8))
    pipe.load_lora_weights(tmp_path / "adapter")
    after = sd3_small.drawn_by_stock(pipe, flag_model, range(8))
    ours, _ = chains.sample(flag_model, Sampling("euler", 4, 8, batch=8), 0, 8)
    assert np.abs(ours - after).max() <= 1 and np.abs(after - before).mean() > 2
    again = sd3.Model.load(tmp_path / "adapter", experiment=sd3_small.experiment(), base=flag_folder)
    np.testing.assert_array_equal(chains.sample(again, Sampling("euler", 4, 8, batch=8), 0, 8)[0], ours)


def settings(**change):
    return sd3_small.experiment(model=Source("sd3", settings={**sd3_small.SMALL, **change}))


def test_an_adapter_has_the_rank_alpha_and_targets_it_was_trained_with(flag_folder, tmp_path):
    x, t = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(2)), torch.tensor([10.0, 500.0])
    trained = settings(rank=2, alpha=0.5, targets=["to_k"])
    model = sd3_small.stirred(sd3.Model.load(flag_folder, experiment=trained))
    model.save(tmp_path / "adapter")
    again = sd3.Model.load(tmp_path / "adapter", experiment=settings(rank=8), base=flag_folder)
    with torch.no_grad():
        assert torch.equal(again.predict(x, t), model.predict(x, t))


def test_an_adapter_of_stock_diffusers_is_one_too(flag_folder, tmp_path):
    """Of another method's training script: no note of ours, and no metadata in older ones."""
    from diffusers import StableDiffusion3Pipeline
    from peft import LoraConfig, get_peft_model_state_dict

    pipe = sd3_small.stock(flag_folder)
    pipe.transformer.add_adapter(
        LoraConfig(r=3, lora_alpha=3, target_modules=["attn.to_v"], init_lora_weights=False)
    )
    layers = get_peft_model_state_dict(pipe.transformer)
    StableDiffusion3Pipeline.save_lora_weights(tmp_path, transformer_lora_layers=layers)
    model = sd3.Model.load(tmp_path, experiment=sd3_small.experiment(), base=flag_folder)
    wanted = sd3_small.drawn_by_stock(pipe, model, range(8))
    ours, _ = chains.sample(model, Sampling("euler", 4, 8, batch=8), 0, 8)
    assert np.abs(ours - wanted).max() <= 1
    mixed = {**layers, "transformer_blocks.0.attn.to_k.lora_A.weight": torch.zeros(5, 8)}
    StableDiffusion3Pipeline.save_lora_weights(tmp_path / "mixed", transformer_lora_layers=mixed)
    with pytest.raises(
        ValueError, match="of 2 ranks, .*give an adapter of the transformer alone, of one rank"
    ):
        sd3.Model.load(tmp_path / "mixed", experiment=sd3_small.experiment(), base=flag_folder)


def from_elsewhere(base, out, told=True, **settings):
    """The base under an adapter of somebody's own settings, and the folder that it was saved in; told: with
    those settings.
    """
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline
    from peft import LoraConfig, get_peft_model_state_dict

    network = SD3Transformer2DModel.from_pretrained(base / "transformer", torch_dtype=torch.float32).eval()
    network.add_adapter(LoraConfig(r=4, target_modules=["to_q", "to_v"], **settings))
    g = torch.Generator().manual_seed(3)
    for name, p in network.named_parameters():
        if "lora_" in name:
            p.data += 0.2 * torch.randn(p.shape, generator=g)
    how = network.peft_config["default"].to_dict()
    how = {k: sorted(v) if isinstance(v, set) else v for k, v in how.items()}
    layers = get_peft_model_state_dict(network)
    StableDiffusion3Pipeline.save_lora_weights(
        out, transformer_lora_layers=layers, transformer_lora_adapter_metadata=how if told else None
    )
    return network, out


@pytest.mark.parametrize(
    "kinds",
    [
        {"use_rslora": True, "lora_alpha": 4},
        {"alpha_pattern": {"to_v": 32}, "lora_alpha": 4},
        {"rank_pattern": {"to_v": 2, "transformer_blocks.0.attn.to_q": 3}},
        {"use_rslora": True, "rank_pattern": {"to_v": 9}, "alpha_pattern": {"attn.to_v": 0.5}},
        {"use_dora": True, "lora_alpha": 2},
        {"use_dora": True, "lora_alpha": 4, "told": False},
    ],
)
def test_an_adapter_of_another_kind_changes_the_output_as_it_was_trained_to(kinds, flag_folder, tmp_path):
    network, folder = from_elsewhere(flag_folder, tmp_path / "theirs", **kinds)
    x, t = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(2)), torch.tensor([10.0, 500.0])
    ours = sd3.Model.load(folder, experiment=sd3_small.experiment(), base=flag_folder)
    ours.save(tmp_path / "ours")
    again = sd3.Model.load(tmp_path / "ours", experiment=sd3_small.experiment(), base=flag_folder)
    text, pooled = ours.condition([sd3_small.PROMPT], 2)
    with torch.no_grad():
        trained = network(
            hidden_states=x, encoder_hidden_states=text, pooled_projections=pooled, timestep=t
        ).sample
        for model in (ours, again):
            torch.testing.assert_close(model.predict(x, t), trained)
        assert not torch.allclose(ours.reference().predict(x, t), trained, atol=1e-2)


@pytest.mark.parametrize(
    "field, value",
    [
        ("init_lora_weights", "pissa"),  # which takes its own part out of the base's weights
        ("bias", "all"),
        ("lora_bias", True),
        ("modules_to_save", ["proj_out"]),
        ("use_qalora", True),
        ("alpha_pattern", {".*to_v": 32}),
        ("lora_alpha", 0),
        ("r", None),
        ("peft_type", "LOHA"),
        ("of_a_later_peft", 2.0),
    ],
)
def test_an_adapter_that_would_be_loaded_as_another_is_refused_by_name(field, value, flag_folder, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    _, folder = from_elsewhere(flag_folder, tmp_path / "theirs")
    path = folder / "pytorch_lora_weights.safetensors"
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()[adapters.METADATA])
    told[f"transformer.{field}"] = value
    save_file(load_file(path), path, metadata={adapters.METADATA: json.dumps(told)})
    with pytest.raises(ValueError, match=f"trained with {field} .* give a LoRA without it"):
        sd3.Model.load(folder, experiment=sd3_small.experiment(), base=flag_folder)


@pytest.mark.parametrize(
    "rank, targets, count, tensors",
    [
        (32, ("to_k", "to_q", "to_v", "to_out.0"), 9_437_184, 192),
        (
            4,
            tuple(
                f"attn.{x}"
                for x in (
                    "add_k_proj",
                    "add_q_proj",
                    "add_v_proj",
                    "to_add_out",
                    "to_k",
                    "to_out.0",
                    "to_q",
                    "to_v",
                )
            ),
            2_347_008,
            382,
        ),
        (
            32,
            tuple(
                f"attn.{x}"
                for x in (
                    "add_k_proj",
                    "add_q_proj",
                    "add_v_proj",
                    "to_add_out",
                    "to_k",
                    "to_out.0",
                    "to_q",
                    "to_v",
                )
            ),
            18_776_064,
            382,
        ),
    ],
)
def test_the_adapter_of_sd3_medium_has_the_published_targets_counts_and_shapes(rank, targets, count, tensors):
    from diffusers import SD3Transformer2DModel

    with torch.device("meta"):
        network = SD3Transformer2DModel(
            sample_size=128,
            patch_size=2,
            in_channels=16,
            num_layers=24,
            attention_head_dim=64,
            num_attention_heads=24,
            joint_attention_dim=4096,
            caption_projection_dim=1536,
            pooled_projection_dim=2048,
            out_channels=16,
            pos_embed_max_size=192,
        )
        assert sum(p.numel() for p in network.parameters()) == 2_028_328_000
        adapters.attach(network, rank, rank, targets, 0)
    found = adapters.parameters(network)
    assert sum(p.numel() for p in found) == count and len(found) == tensors
    assert {tuple(p.shape) for p in found} == {(rank, 1536), (1536, rank)} and all(
        p.requires_grad for p in found
    )
    from peft import get_peft_model_state_dict

    names = get_peft_model_state_dict(network).keys()
    assert ("transformer_blocks.0.attn.to_q.lora_A.weight" in names) and (
        "transformer_blocks.23.attn.to_add_out.lora_A.weight" not in names
    )


def test_an_adapter_of_another_base_is_refused(flag_model, flag_folder, tmp_path):
    flag_model.save(tmp_path / "adapter")
    other = tmp_path / "other"
    pipe = maker.build(other, 6)
    pipe.save_pretrained(other, safe_serialization=True)
    with pytest.raises(
        ValueError, match="this adapter belongs to the base .* give the base it was trained on"
    ):
        sd3.Model.load(tmp_path / "adapter", experiment=sd3_small.experiment(), base=other)
    with pytest.raises(FileNotFoundError, match="is an adapter; its base model's folder is needed"):
        sd3.Model.load(tmp_path / "adapter", experiment=sd3_small.experiment())

"""Weights in every form that diffusers writes load as they are."""

import shutil

import pytest
import torch
from written_weights import whole, written  # noqa: F401  (whole is a fixture)

from unpromptable.models import checkpoints
from unpromptable.models.families import ddpm


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.trained()])


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"max_shard_size": "20KB"},
        {"variant": "fp16"},
        {"variant": "fp16", "max_shard_size": "20KB"},
        {"safe_serialization": False},
        {"safe_serialization": False, "max_shard_size": "20KB"},
        {"safe_serialization": False, "variant": "bf16"},
    ],
)
def test_every_form_of_the_same_weights_is_fetched_as_one_layout_that_loads_equal(
    tiny, whole, tmp_path, form
):
    from diffusers import UNet2DModel

    folder = written(tiny, whole, **form)
    assert (len(list((folder / "unet").iterdir())) > 4) == ("max_shard_size" in form)
    ddpm.Family().fetch(str(folder), tmp_path / "copy")
    assert torch.equal(weights(ddpm.Model.load(tmp_path / "copy")), weights(tiny))
    assert (
        not list(tmp_path.glob("copy/**/*.bin"))
        and "variant" not in form
        or not list(tmp_path.glob(f"copy/unet/*{form['variant']}.*"))
    )
    stock = UNet2DModel.from_pretrained(tmp_path / "copy" / "unet", use_safetensors=True)
    assert all(torch.equal(a, b) for a, b in zip(stock.parameters(), tiny.trained()))


@pytest.mark.parametrize("form", [{"variant": "fp16"}, {"variant": "fp16", "max_shard_size": "20KB"}])
def test_a_folder_with_a_variant_alone_loads_where_it_lies(tiny, whole, form):
    assert torch.equal(weights(ddpm.Model.load(written(tiny, whole, **form))), weights(tiny))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision_load_as_float32_of_the_same_values(tiny, whole, tmp_path, dtype):
    import copy

    half = copy.deepcopy(tiny.network).to(dtype)
    shutil.rmtree(whole / "unet")
    half.save_pretrained(whole / "unet")
    ddpm.Family().fetch(str(whole), tmp_path / "copy")
    loaded = ddpm.Model.load(tmp_path / "copy")
    assert {p.dtype for p in loaded.trained()} == {torch.float32}
    assert all(torch.equal(a, b.float()) for a, b in zip(loaded.trained(), half.parameters()))


def test_of_several_forms_the_plain_one_is_read_and_the_others_are_not_copied(tiny, whole, tmp_path):
    import copy

    other = copy.deepcopy(tiny.network)
    with torch.no_grad():
        other.conv_in.weight.add_(1)
    (
        other.save_pretrained(whole / "unet", variant="fp16"),
        other.save_pretrained(whole / "unet", safe_serialization=False),
    )
    ddpm.Family().fetch(str(whole), tmp_path / "copy")
    assert torch.equal(weights(ddpm.Model.load(tmp_path / "copy")), weights(tiny))
    assert sorted(p.name for p in (tmp_path / "copy" / "unet").iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]


def test_two_variants_and_nothing_plain_are_not_guessed_between(tiny, whole):
    written(tiny, whole, variant="fp16")
    tiny.network.save_pretrained(whole / "unet", variant="bf16")
    with pytest.raises(
        ValueError,
        match="holds its weights as bf16 and fp16 and not without a variant; keep the files of one",
    ):
        ddpm.Family().check(whole)


def test_what_a_repository_holds_twice_is_not_fetched_twice():
    names = [
        "model_index.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "transformer/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.safetensors",
        "t/model.safetensors.index.json",
        "t/model-00001-of-00002.safetensors",
        "t/model-00002-of-00002.safetensors",
        "t/model.safetensors.index.fp16.json",
        "t/model.fp16-00001-of-00002.safetensors",
        "t/model.fp16-00002-of-00002.safetensors",
        "e/model.fp16.safetensors",
    ]
    assert set(checkpoints.unneeded(names)) == {n for n in names if "fp16" in n and n[0] in "t"} | {
        "unet/diffusion_pytorch_model.bin"
    }


def test_the_oldest_checkpoints_names_are_the_networks_own(tmp_path):
    """google/ddpm-celebahq-256 lies flat, as .bin, and calls its attention's layers query, key, value and
    proj_attn.
    """
    from diffusers import DDPMScheduler, UNet2DModel

    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=None,
    )
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    rename = lambda k: next(
        (k.replace(f".{new}.", f".{name}.") for new, name in old.items() if f".{new}." in k), k
    )
    unet.save_config(tmp_path / "m"), DDPMScheduler().save_pretrained(tmp_path / "m")
    torch.save(
        {rename(k): v for k, v in unet.state_dict().items()}, tmp_path / "m" / "diffusion_pytorch_model.bin"
    )
    ddpm.Family().fetch(str(tmp_path / "m"), tmp_path / "copy")
    model = ddpm.Model.load(tmp_path / "copy")
    assert all(torch.equal(v, model.network.state_dict()[k]) for k, v in unet.state_dict().items())

"""Weights in every form that diffusers writes load as they are; what is not whole or not the network's is
refused by name.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from unpromptable.models import checkpoints
from unpromptable.models.families import ddpm

PLAIN = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def whole(tiny, tmp_path):
    """A pipeline's folder as stock diffusers writes it."""
    from diffusers import DDPMPipeline

    DDPMPipeline(unet=tiny.network, scheduler=tiny.scheduler).save_pretrained(
        tmp_path / "whole", safe_serialization=True
    )
    return tmp_path / "whole"


def written(tiny, folder, **how):
    """The network alone, saved again in another form."""
    shutil.rmtree(folder / "unet")
    tiny.network.save_pretrained(folder / "unet", **how)
    return folder


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
    ddpm.fetch(str(folder), tmp_path / "copy")
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
    ddpm.fetch(str(whole), tmp_path / "copy")
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
    ddpm.fetch(str(whole), tmp_path / "copy")
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
        ddpm.check(whole)


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
    ddpm.fetch(str(tmp_path / "m"), tmp_path / "copy")
    model = ddpm.Model.load(tmp_path / "copy")
    assert all(torch.equal(v, model.network.state_dict()[k]) for k, v in unet.state_dict().items())


def test_a_bin_that_holds_more_than_tensors_is_not_read(tiny, whole, tmp_path):
    (whole / PLAIN).unlink()
    for bad, words in (
        ({"x": np.random.default_rng}, "not a file of tensors"),
        ({"state_dict": {"x": torch.zeros(1)}}, "state_dict is no tensor"),
    ):
        torch.save(bad, whole / "unet" / "diffusion_pytorch_model.bin")
        with pytest.raises(ValueError, match=f"diffusion_pytorch_model.bin: {words}"):
            ddpm.fetch(str(whole), tmp_path / "copy")


def cut(folder):
    path = folder / PLAIN
    path.write_bytes(path.read_bytes()[:-100])


def pointer(folder):
    (folder / PLAIN).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def changed(how):
    def change(folder):
        state = load_file(folder / PLAIN)
        how(state)
        save_file(state, folder / PLAIN, metadata={"format": "pt"})

    return change


def no_number(state):
    state["conv_in.weight"][0, 0, 0, 0] = float("nan")


def config(**change):
    def write(folder):
        path = folder / "unet" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    return write


FAULTS = {
    "truncated": (cut, True, "diffusion_pytorch_model.safetensors is truncated or no safetensors file"),
    "empty": (lambda f: (f / PLAIN).write_bytes(b""), True, "is truncated or no safetensors file"),
    "a pointer": (pointer, True, "is a pointer of Git LFS and not the weights; run `git lfs pull`"),
    "no weights": (lambda f: (f / PLAIN).unlink(), True, "holds no .safetensors weights"),
    "no scheduler": (
        lambda f: shutil.rmtree(f / "scheduler"),
        True,
        "holds no scheduler_config.json, which says how the network's noise grows",
    ),
    "broken config": (
        lambda f: (f / "unet" / "config.json").write_text("{"),
        True,
        "config.json cannot be read as JSON",
    ),
    "a config of something else": (
        lambda f: (f / "unet" / "config.json").write_text("[]"),
        True,
        "config.json is no configuration but a list",
    ),
    "broken scheduler": (
        lambda f: (f / "scheduler" / "scheduler_config.json").write_text("{"),
        True,
        "scheduler_config.json cannot be read as JSON",
    ),
    "quantised": (config(quantization_config={"load_in_8bit": True}), True, "is of quantised weights"),
    "missing": (
        changed(lambda s: s.pop("conv_in.weight")),
        False,
        r"unet: conv_in.weight is missing \(1 tensors are\)",
    ),
    "left over": (
        changed(lambda s: s.update(other=torch.zeros(1))),
        False,
        "unet: other is none of the network's",
    ),
    "another shape": (
        changed(lambda s: s.update({"conv_in.weight": torch.zeros(1, 3, 3, 3)})),
        False,
        "cannot be loaded as a UNet2DModel .*conv_in.weight",
    ),
    "not a number": (
        changed(no_number),
        False,
        r"unet: conv_in.weight is not finite \(1 of \d+ tensors\); the weights are damaged",
    ),
    "another network's config": (
        config(block_out_channels=[8, 24]),
        False,
        "cannot be loaded as a UNet2DModel",
    ),
    "a config of no network": (
        config(down_block_types=["Other", "DownBlock2D"]),
        False,
        "cannot be loaded as a UNet2DModel",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_that_is_not_whole_is_refused_by_name_before_anything_is_made_of_it(whole, tmp_path, fault):
    spoil, by_files_alone, words = FAULTS[fault]
    spoil(whole)
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        ddpm.fetch(str(whole), tmp_path / "copy")
    assert "\n" not in str(caught.value) and (tmp_path / "copy").exists() != by_files_alone
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        ddpm.Model.load(whole)


@pytest.mark.parametrize(
    "spoil, words",
    [
        (
            lambda f: next(f.glob("*00002-of-*.safetensors")).unlink(),
            r"00002-of-\d+.safetensors is missing, though .*index.json names it",
        ),
        (
            lambda f: (f / "diffusion_pytorch_model.safetensors.index.json").unlink(),
            r"holds \d+ shards without their index.json",
        ),
        (
            lambda f: (f / "diffusion_pytorch_model.safetensors.index.json").write_text("{}"),
            "holds no weight_map",
        ),
        (
            lambda f: save_file({"x": torch.zeros(1)}, next(f.glob("*00002-of-*.safetensors"))),
            "lacks the tensor .* though .*index.json names it",
        ),
    ],
)
def test_shards_that_are_not_whole_are_refused_by_name(tiny, whole, spoil, words):
    written(tiny, whole, max_shard_size="20KB")
    spoil(whole / "unet")
    with pytest.raises(ValueError, match=words):
        ddpm.check(whole)


def test_truncated_bins_are_refused(tiny, whole):
    written(tiny, whole, safe_serialization=False)
    path = whole / "unet" / "diffusion_pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="diffusion_pytorch_model.bin is truncated; fetch it again"):
        ddpm.check(whole)


def test_a_bin_is_not_read_where_it_lies(tiny, whole):
    with pytest.raises(
        ValueError, match="holds .bin weights; name it as model.source, whose copy is converted"
    ):
        ddpm.Model.load(written(tiny, whole, safe_serialization=False))

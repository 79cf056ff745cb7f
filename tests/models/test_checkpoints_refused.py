"""Weights that are not whole, or not the network's, are refused by name."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from written_weights import PLAIN, whole, written  # noqa: F401  (whole is a fixture)

from unpromptable.models.families import ddpm


def test_a_bin_that_holds_more_than_tensors_is_not_read(tiny, whole, tmp_path):
    (whole / PLAIN).unlink()
    for bad, words in (
        ({"x": np.random.default_rng}, "not a file of tensors"),
        ({"state_dict": {"x": torch.zeros(1)}}, "state_dict is no tensor"),
        ([torch.zeros(1)], "not a file of named tensors"),
        ({1: torch.zeros(1)}, "not a file of named tensors"),
    ):
        torch.save(bad, whole / "unet" / "diffusion_pytorch_model.bin")
        with pytest.raises(ValueError, match=f"diffusion_pytorch_model.bin: {words}"):
            ddpm.Family().fetch(str(whole), tmp_path / "copy")


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


def scheduler(**change):
    def write(folder):
        path = folder / "scheduler" / "scheduler_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    return write


def endless(folder):
    (folder / "unet" / "config.json").write_text("[" * 100_000)


def pipe(folder):
    (folder / PLAIN).unlink()
    os.mkfifo(folder / PLAIN)


FAULTS = {
    "levels without end": (endless, True, "config.json cannot be read as JSON"),
    "a pipe": (pipe, True, "diffusion_pytorch_model.safetensors is no file"),
    "layers without end": (
        config(layers_per_block=10**9),
        True,
        "has layers_per_block 1000000000; it must be",
    ),
    "blocks without end": (config(block_out_channels=[8] * 999), True, "has block_out_channels"),
    "a picture without end": (config(sample_size=10**9), True, "has sample_size 1000000000"),
    "timesteps without end": (scheduler(num_train_timesteps=10**12), True, "has num_train_timesteps"),
    "more channels than memory": (
        config(block_out_channels=[8, 8 * 10**7]),
        False,
        "cannot be loaded as a UNet2DModel",
    ),
    "no groups": (config(norm_num_groups=0), False, "cannot be loaded as a UNet2DModel"),
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
        ddpm.Family().fetch(str(whole), tmp_path / "copy")
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
        *(
            (
                lambda f, shard=shard: (f / "diffusion_pytorch_model.safetensors.index.json").write_text(
                    json.dumps({"weight_map": {"conv_in.weight": shard}})
                ),
                "index.json names .*, which is no file of weights",
            )
            for shard in ("../../elsewhere.safetensors", "/etc/passwd", "", "a\nb", None, 5, ["x"], {"a": 1})
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
        ddpm.Family().check(whole)


def test_truncated_bins_are_refused(tiny, whole):
    written(tiny, whole, safe_serialization=False)
    path = whole / "unet" / "diffusion_pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="diffusion_pytorch_model.bin is truncated; fetch it again"):
        ddpm.Family().check(whole)


def test_a_bin_is_not_read_where_it_lies(tiny, whole):
    with pytest.raises(
        ValueError, match="holds .bin weights; name it as model.source, whose copy is converted"
    ):
        ddpm.Model.load(written(tiny, whole, safe_serialization=False))


def test_operations_of_a_network_that_cannot_run_are_refused(whole):
    config(downsample_padding=3)(whole)
    with pytest.raises(ValueError, match="config.json is of a network that cannot run"):
        ddpm.Family().operations(whole)

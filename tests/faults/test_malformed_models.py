"""Models that are none: folders spoilt by chance, each loaded or refused in one line, nothing run."""

import json
import os
import shutil

import pytest
from malformed import DEEP, room, told, tried, with_header  # noqa: F401  (room is a fixture)

from unpromptable.storage import fingerprints

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Small DDPMs as stock diffusers writes them: whole, in shards, and in the oldest layout."""
    from ddpm_small import pipeline

    root = tmp_path_factory.mktemp("models")
    pipeline().save_pretrained(root / "whole")
    pipeline("v_prediction", "cosine", 1).save_pretrained(root / "shards")
    shutil.rmtree(root / "shards" / "unet")
    pipeline("v_prediction", "cosine", 1).unet.save_pretrained(
        root / "shards" / "unet", max_shard_size="10KB"
    )
    flat = pipeline("sample", "scaled")
    flat.unet.save_pretrained(root / "flat")
    flat.scheduler.save_pretrained(root / "flat")
    return root


class Payload:
    """What runs where it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch ../outside/ran",)


def with_tensors(chance, path):
    """The weights with tensors gone, more, of other shapes and kinds, or not finite."""
    import torch
    from safetensors.torch import load_file, save_file

    state = load_file(path)
    for _ in range(chance.choice([1, 2])):
        name, how = chance.choice(sorted(state)), chance.randrange(6)
        if how == 0:
            del state[name]
        elif how == 1:
            state[chance.choice(["more", "../x", "", "conv_in", "a.b.c"])] = torch.zeros(
                chance.choice([0, 1, 9])
            )
        elif how == 2:
            state[name] = state[name].to(
                chance.choice([torch.float16, torch.bfloat16, torch.int8, torch.bool])
            )
        elif how == 3:
            state[name] = state[name].reshape(-1)[: chance.choice([0, 1, 3])].clone()
        elif how == 4:
            state[name] = torch.full_like(state[name], chance.choice([float("nan"), float("inf"), 1e38]))
        else:
            state[name] = state[name].to(torch.float8_e4m3fn)
    save_file(state, path)


def with_files(chance, folder, path):
    """Links, pipes, folders, pickles and code in place of a file or beside it."""
    import pickle

    import torch

    how = chance.randrange(9)
    if how < 4:
        path.unlink()
    if how == 0:
        path.symlink_to(
            chance.choice(["../../../outside/kept.txt", "/dev/zero", "/etc/passwd", "nowhere", path.name])
        )
    elif how == 1:
        os.mkfifo(path)
    elif how == 2:
        path.mkdir()
    elif how == 3:
        bad = (
            {"x": Payload()}
            if chance.random() < 0.5
            else chance.choice([[1], {"x": 1}, {1: torch.zeros(1)}, 5])
        )
        name = path.with_name("diffusion_pytorch_model.bin")
        if chance.random() < 0.5:
            torch.save(bad, name)
        else:
            name.write_bytes(
                chance.choice([pickle.dumps(bad), chance.spoilt_bytes(pickle.dumps(bad)), b"PK\x03\x04x"])
            )
    elif how == 4:
        (folder / "unet.py").write_text("open('../outside/ran', 'w')")
        (folder / "pipeline.py").write_text("open('../outside/ran', 'w')")
        edit(folder / "model_index.json", _class_name=["pipeline", "Evil"], trust_remote_code=True)
    elif how == 5:
        names = ["UNet2DModel", "os.system", "../x", "subprocess.Popen", 5, None, ["pipeline", "Evil"]]
        at = chance.choice(
            ["model_index.json", "config.json", "unet/config.json", "scheduler/scheduler_config.json"]
        )
        auto = {"AutoModel": "evil.Evil", "auto_map": {"AutoModel": "evil.Evil"}, "custom_pipeline": "evil"}
        edit(folder / at, _class_name=chance.choice(names), **chance.choice([{}, auto]))
    elif how == 6:
        index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
        index.parent.mkdir(exist_ok=True)
        shard = chance.choice(
            ["../../../outside/kept.txt", "/etc/passwd", "", ".", "x\ny", 5, None, ["a"], {"b": 1}]
        )
        index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": {"conv_in.weight": shard}}))
    elif how == 7:
        shutil.copytree(folder, folder / chance.choice(["unet", "scheduler", "more"]), dirs_exist_ok=True)
    else:
        part = folder / chance.choice(["unet", "scheduler"])
        shutil.rmtree(part, ignore_errors=True)
        part.symlink_to(chance.choice(["../../outside", ".", "/proc/self", "nowhere"]))


def edit(path, **change):
    """A configuration's keys changed, where it is there."""
    if path.is_file():
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


SIZES = [
    0,
    -1,
    1,
    3,
    10**5,
    10**9,
    2**63,
    10**40,
    0.5,
    "8",
    True,
    [8, 8],
    [8],
    [],
    {},
    None,
    float("nan"),
    [10**9] * 2,
]


def with_sizes(chance, path):
    """A configuration with one or two other values."""
    held = json.loads(path.read_text())
    keys = sorted(held) + ["sample_size", "num_train_timesteps", "block_out_channels", "layers_per_block"] * 3
    for _ in range(chance.choice([1, 1, 2])):
        key = chance.choice(keys)
        of = held.get(key)
        held[key] = (
            [chance.choice(SIZES) for _ in of]
            if isinstance(of, list) and chance.random() < 0.5
            else (chance.choice(SIZES))
        )
    path.write_text(json.dumps(held))


def spoil(chance, folder):
    """Spoil one to two files of a model's folder."""
    for _ in range(chance.choice([1, 1, 1, 2])):
        found = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
        configs = [p for p in found if p.suffix == ".json"]
        weights = [p for p in found if p.suffix == ".safetensors"]
        how = chance.randrange(8)
        if not found:
            return
        if how < 2 and configs:
            path = chance.choice(configs)
            path.write_bytes(chance.spoilt_json(path.read_bytes() or b"{}"))
        elif how < 4 and configs:
            with_sizes(chance, chance.choice([p for p in configs if p.name != "model_index.json"] or configs))
        elif how == 4 and weights:
            with_tensors(chance, chance.choice(weights))
        elif how == 5 and weights:
            with_header(chance, chance.choice(weights))
        elif how == 6 and weights:
            path = chance.choice(weights)
            path.write_bytes(chance.spoilt_bytes(path.read_bytes()))
        else:
            with_files(chance, folder, chance.choice(found))


def test_models_that_are_none_are_loaded_or_refused_in_one_line(room, whole):
    import torch
    from safetensors import SafetensorError

    from unpromptable.models.families import ddpm

    given, threads = room / "given", torch.get_num_threads()
    torch.set_num_threads(1)
    ddpm.Model.load(whole / "whole"), ddpm.Family().operations(whole / "whole")  # what is imported once

    def make(chance):
        for old in given.iterdir():
            shutil.rmtree(old)
        folder = given / "model"
        shutil.copytree(whole / chance.choice(["whole", "whole", "shards", "flat"]), folder)
        try:
            spoil(chance, folder)
        except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError, SafetensorError):
            pass  # the second fault found nothing left to spoil
        family, counted = ddpm.Family(), chance.random() < 0.2

        def planned_with():
            family.check(folder)
            family.pixels(folder, None), fingerprints.tree(folder)
            if counted:
                family.operations(folder)

        return [
            ("plan", planned_with),
            ("load", lambda: ddpm.Model.load(folder)),
            ("fetch", lambda: family.fetch(str(folder), given / "copy")),
        ]

    try:
        wrong = tried("models", room, make)
    finally:
        torch.set_num_threads(threads)
    assert not wrong, told(wrong)

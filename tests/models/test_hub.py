"""A model is fetched from a folder, the hub or its cache; what goes wrong there is one line."""

import logging
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors

from unpromptable.editing.tedigan import clip
from unpromptable.models import hub
from unpromptable.models.families import ddpm, sd3

NAME, COMMIT = "someone/a-ddpm", "0123456789abcdef0123456789abcdef01234567"
LOST = errors.HTTPError.__mro__[0]


@pytest.fixture
def made(tiny, tmp_path):
    tiny.save(tmp_path / "made")
    return tmp_path / "made"


@pytest.fixture
def cache(made, tmp_path, monkeypatch):
    """The hub's cache with this model at one commit, and no hub to ask."""
    import shutil

    root = tmp_path / "hub"
    home = root / f"models--{NAME.replace('/', '--')}"
    shutil.copytree(made, home / "snapshots" / COMMIT)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root))
    monkeypatch.setattr(huggingface_hub.file_download.constants, "HF_HUB_CACHE", str(root))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    return home / "snapshots" / COMMIT


def unreachable(*_, **__):
    raise transport_error()


def transport_error():
    """The error of a lost connection, of the library that this hub client uses."""
    import sys

    return sys.modules[errors.HTTPError.__module__.split(".")[0]].ConnectError(
        "[Errno -3] Temporary failure in name resolution"
    )


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.trained()])


@pytest.mark.parametrize("revision", ["", "main", COMMIT])
def test_a_model_in_the_hub_s_cache_needs_no_hub(tiny, cache, tmp_path, caplog, revision):
    with caplog.at_level(logging.WARNING):
        assert ddpm.Family().fetch(NAME, tmp_path / "out", revision) == f"{NAME}@{COMMIT}"
    assert torch.equal(weights(ddpm.Model.load(tmp_path / "out")), weights(tiny))
    said = [r.getMessage() for r in caplog.records if r.name == "unpromptable.models.hub"]
    assert said == (
        []
        if revision == COMMIT
        else [
            f"model.source: the hub cannot be asked for {NAME} (ConnectError: [Errno -3] Temporary failure in"
            f" name resolution); commit {COMMIT} is taken from its cache"
        ]
    )


def test_a_model_cached_in_part_is_not_taken_for_whole(cache, tmp_path):
    (cache / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=(
            r"could not be fetched from the hub \(ConnectError: .*\), and its cache holds no whole copy"
            r" \(ValueError: .*holds no .safetensors weights"
        ),
    ) as caught:
        ddpm.Family().fetch(NAME, tmp_path / "out", COMMIT)
    assert "\n" not in str(caught.value)


def test_what_is_cached_at_the_commit_that_the_hub_names_is_not_fetched_again(
    tiny, cache, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda *_, **__: SimpleNamespace(sha=COMMIT, siblings=())
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    assert ddpm.Family().fetch(NAME, tmp_path / "out") == f"{NAME}@{COMMIT}"


def test_a_newer_commit_is_fetched_and_read_as_any_folder(tiny, made, cache, tmp_path, monkeypatch):
    import shutil

    asked = {}

    def download(name, local_dir, **told):
        asked.update(told)
        return str(shutil.copytree(made, local_dir))

    newer = COMMIT[::-1]
    monkeypatch.setattr(
        huggingface_hub.HfApi,
        "model_info",
        lambda *_, **__: SimpleNamespace(
            sha=newer,
            siblings=[
                SimpleNamespace(rfilename=f"unet/diffusion_pytorch_model{x}.safetensors")
                for x in ("", ".fp16")
            ],
        ),
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert ddpm.Family().fetch(NAME, tmp_path / "out") == f"{NAME}@{newer}"
    assert asked["revision"] == newer and asked["ignore_patterns"] == [
        "unet/diffusion_pytorch_model.fp16.safetensors"
    ]
    assert (
        torch.equal(weights(ddpm.Model.load(tmp_path / "out")), weights(tiny))
        and not (tmp_path / "out.hub").exists()
    )


@pytest.mark.parametrize(
    "error",
    [
        transport_error,
        lambda: errors.LocalEntryNotFoundError("Got: ConnectError: x\nAn error happened"),
        lambda: OSError("disk"),
        lambda: errors.HFValidationError("Repo id must be\nin the form"),
        lambda: errors.OfflineModeIsEnabled("offline"),
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        lambda out: ddpm.Family().fetch(NAME, out),
        lambda out: sd3.Family().fetch(NAME, out),
        lambda out: clip.find("", "editor.folder", "use sdedit"),
    ],
)
def test_whatever_the_hub_s_client_raises_is_one_line_that_says_what_to_do(
    tmp_path, monkeypatch, call, error
):
    def fail(*_, **__):
        raise error()

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(huggingface_hub.file_download.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="could not be fetched from the hub") as caught:
        call(tmp_path / "out")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_a_read_only_folder_gives_a_copy_that_can_be_written(made, tmp_path):
    for path in [*made.rglob("*"), made]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        ddpm.Family().fetch(str(made), tmp_path / "copy")
        modes = {p.stat().st_mode & 0o200 for p in [tmp_path / "copy", *(tmp_path / "copy").rglob("*")]}
    finally:
        for path in [made, *made.rglob("*")]:
            path.chmod(0o755)
    assert modes == {0o200}


def test_a_link_out_of_a_models_folder_is_not_followed(made, tmp_path):
    secret, config = tmp_path / "passwd", made / "unet" / "config.json"
    config.rename(secret)
    config.symlink_to(secret)
    with pytest.raises(ValueError, match="config.json is a link to .*passwd, outside of the folder"):
        ddpm.Family().fetch(str(made), tmp_path / "copy")
    assert not list(tmp_path.glob("copy/**/config.json"))


def test_the_links_of_a_snapshot_to_its_caches_blobs_are_followed(cache, tmp_path):
    blob = cache.parent.parent / "blobs" / "1234"
    blob.parent.mkdir()
    (cache / "unet" / "config.json").rename(blob)
    (cache / "unet" / "config.json").symlink_to(blob)
    ddpm.Family().fetch(str(cache), tmp_path / "copy")
    assert (tmp_path / "copy" / "unet" / "config.json").read_bytes() == blob.read_bytes()


def test_what_lies_beside_a_model_is_not_copied(made, tmp_path):
    for name in (
        "checkpoint-500/unet/diffusion_pytorch_model.safetensors",
        "logs/events",
        ".git/index",
        "sd_single_file.ckpt",
    ):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(b"x")
    ddpm.Family().fetch(str(made), tmp_path / "copy")
    assert sorted(p.name for p in (tmp_path / "copy").iterdir()) == ["model_index.json", "scheduler", "unet"]


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda f: __import__("shutil").rmtree(f / "scheduler"), "holds no scheduler_config.json"),
        (
            lambda f: __import__("shutil").rmtree(f / "text_encoder_2"),
            "holds no text_encoder_2, which prompts are read with",
        ),
        (lambda f: (f / "model_index.json").unlink(), "holds no model_index.json"),
        (
            lambda f: (f / "text_encoder" / "model.safetensors").write_bytes(b"x" * 99),
            "text_encoder/model.safetensors is truncated or no safetensors file",
        ),
        (
            lambda f: (f / "scheduler" / "scheduler_config.json").write_text(
                '{"_class_name": "DDIMScheduler"}'
            ),
            "is a DDIMScheduler, but the family sd3 needs FlowMatchEulerDiscreteScheduler",
        ),
    ],
)
def test_a_prompted_pipeline_that_is_not_whole_is_refused_by_name(flag_folder, tmp_path, spoil, words):
    import shutil

    shutil.copytree(flag_folder, tmp_path / "base")
    spoil(tmp_path / "base")
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        sd3.Family().fetch(str(tmp_path / "base"), tmp_path / "copy")


def test_a_prompted_pipeline_in_a_variant_and_in_shards_gives_the_same_embeddings_and_weights(
    flag_folder, tmp_path
):
    import sd3_small

    pipe = sd3_small.stock(flag_folder)
    pipe.save_pretrained(tmp_path / "base", variant="fp16", max_shard_size="100KB")
    sd3.Family().fetch(str(tmp_path / "base"), tmp_path / "copy")
    assert hub.fetch(
        str(tmp_path / "copy"), tmp_path / "again", "", None, sd3.Family().check, ["*/*", "*.json"]
    )
    ours, plain = (
        sd3.Model.load(f, experiment=sd3_small.experiment()) for f in (tmp_path / "copy", flag_folder)
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(ours.network.state_dict().values(), plain.network.state_dict().values())
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(ours.condition([sd3_small.PROMPT], 1), plain.condition([sd3_small.PROMPT], 1))
    )


def test_text_encoders_that_are_not_their_own_are_refused(flag_folder, tmp_path):
    import shutil

    import sd3_small
    from safetensors.torch import load_file, save_file

    shutil.copytree(flag_folder, tmp_path / "base")
    path = tmp_path / "base" / "text_encoder" / "model.safetensors"
    state = load_file(path)
    lost = next(k for k in state if k.endswith("fc1.weight"))
    for change, words in (
        ({k: v for k, v in state.items() if k != lost}, f"{lost} is missing"),
        ({**state, lost: state[lost] * float("nan")}, f"{lost} is not finite"),
    ):
        save_file(change, path, metadata={"format": "pt"})
        with pytest.raises(ValueError, match=f"text_encoder: {words}"):
            sd3.Model.load(tmp_path / "base", experiment=sd3_small.experiment()).condition(
                [sd3_small.PROMPT], 1
            )

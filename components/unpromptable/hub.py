"""Pretrained pipelines of several networks: from the package, a folder or the hub, licence-gated ones included."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path


def fetch(source: str, out: Path, revision: str, shipped: Path | None, check: Callable[[Path], None], patterns: list[str], convert: Callable[[Path], None] | None = None) -> str:
    """Put the folder of `source` at `out` and return its identity: 'miniature', a local path, or hub-name@commit.

    patterns: the files wanted of a hub repository; convert: what has to be done to them once they are here. Raises FileNotFoundError that says what to do, about a licence too.
    """
    if source == "miniature" or Path(source).is_dir():
        folder = Path(shipped if source == "miniature" else source)
        check(folder)
        shutil.copytree(folder, out, dirs_exist_ok=True)
        return source if source == "miniature" else str(folder.resolve())
    identity = _download(source, out, revision, patterns)
    if convert:
        convert(out)
    check(out)
    return identity


def _download(name: str, out: Path, revision: str, patterns: list[str]) -> str:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    try:
        commit = HfApi().model_info(name, revision=revision or None).sha
        snapshot_download(name, revision=commit, local_dir=out, allow_patterns=patterns)
    except GatedRepoError as error:
        raise FileNotFoundError(f"model.source: {name} is given only to those who accepted its licence: accept it on the model's page, then set HF_TOKEN to a token of that account (on a cluster: the key `token` of the Secret unpromptable-hub), or name a local folder ({error})") from error
    except (OSError, ValueError, HfHubHTTPError) as error:  # a malformed name is a ValueError
        raise FileNotFoundError(f"model.source: {name} is no folder here and could not be fetched from the hub ({type(error).__name__}: {error}); copy it to a local folder and name that; for a licence-gated model also set HF_TOKEN") from error
    return f"{name}@{commit}"


def check(folder: Path, family: str, parts: dict[str, str]) -> None:
    """Raise when `folder` lacks one of `parts` (subfolder to class) or its safetensors weights, naming what was found."""
    for part, kind in parts.items():
        check_part(folder, part, kind, family, folder / part)


def check_part(folder: Path, part: str, kind: str, family: str, where: Path) -> None:
    """The same for one network of class `kind`, whose files are in `where`: the subfolder `part`, or `folder` itself in the oldest layout."""
    config = where / "config.json"
    if not config.is_file():
        found = sorted(p.name for p in folder.iterdir())[:6] if folder.is_dir() else "nothing"
        raise FileNotFoundError(f"model: {folder} holds no {part}/config.json (found {found}); give a diffusers folder of the family {family} or a hub name")
    got = json.loads(config.read_text()).get("_class_name")
    if got != kind:
        raise ValueError(f"model: {config} is a {got}, but the family {family} needs a {kind}; choose the family that fits, or another folder")
    if not list(where.glob("*.safetensors")):
        raise ValueError(f"model: {where} holds no .safetensors weights; convert it with diffusers' save_pretrained(safe_serialization=True), since nothing is unpickled")

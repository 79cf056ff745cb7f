"""Pretrained networks and pipelines: from the package, a folder or the hub, licence-gated ones included, and
kept where they were fetched before.
"""

from __future__ import annotations

import fnmatch
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import checkpoints

log = logging.getLogger(__name__)


def fetch(
    source: str,
    out: Path,
    revision: str,
    shipped: Path | None,
    check: Callable[[Path], None],
    patterns: list[str],
) -> str:
    """Put the folder of `source` at `out` and return its identity: 'miniature', a local path, or
    hub-name@commit.

    patterns: the files wanted, as globs from the folder. The copy takes no file modes over, and its weights
    are safetensors under their plain names. Raises FileNotFoundError that says what to do, about a licence
    too, and what `check` raises.
    """
    if source == "miniature" or Path(source).is_dir():
        folder = Path(shipped if source == "miniature" else source)
        check(folder)
        _copy(folder, out, patterns, shutil.copyfile)
        return source if source == "miniature" else str(folder.resolve())
    fetched = out.with_name(f"{out.name}.hub")  # stays where fetching stops half way, and is gone on with
    remedy = "copy it to a local folder and name that; for a licence-gated model also set HF_TOKEN"
    folder, identity = snapshot(source, revision, patterns, check, "model.source", remedy, fetched)
    bring = shutil.move if folder.resolve() == fetched.resolve() else shutil.copyfile
    try:
        check(folder)
        _copy(folder, out, patterns, bring)
    finally:
        shutil.rmtree(fetched, ignore_errors=True)
    return identity


def _copy(folder: Path, out: Path, patterns: list[str], bring: Callable[[Path, Path], object]) -> None:
    """Contents without modes, since a model's folder may be read-only; of each network the weights that are
    read.
    """
    wanted = {
        p.relative_to(folder).as_posix() for pattern in patterns for p in folder.glob(pattern) if p.is_file()
    }
    for name in sorted(wanted - set(checkpoints.unneeded(wanted))):
        _check_inside(folder, name)
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        bring(folder / name, out / name)
    for home in {(out / name).parent for name in wanted}:
        checkpoints.settle(home)


def _check_inside(folder: Path, name: str) -> None:
    """Raise ValueError where a file is a link out of its folder; the hub's cache links to its own blobs."""
    whole = folder.resolve()
    home = whole.parent.parent if whole.parent.name == "snapshots" else whole
    if not (folder / name).resolve().is_relative_to(home):
        raise ValueError(
            f"model.source: {folder / name} is a link to {(folder / name).resolve()}, outside of the folder;"
            " put the file itself there"
        )


def snapshot(
    name: str,
    revision: str,
    patterns: list[str],
    whole: Callable[[Path], None],
    setting: str,
    remedy: str,
    into: Path | None = None,
) -> tuple[Path, str]:
    """The folder of a hub repository and its identity, name@commit: from the hub's cache where `whole` passes
    it, else fetched.

    A revision that is no commit is resolved by the hub; where that cannot be asked, by the cache, which is
    logged. into: where to fetch to, instead of the cache. Raises FileNotFoundError of one line that says why
    and what to do.
    """
    kept = why = None
    try:
        kept, why = _cached(name, revision, whole)
        if kept is None or not re.fullmatch("[0-9a-f]{40}", revision):
            info = _asked(name, revision)
            kept, why = _cached(name, info.sha, whole)
            if kept is None:
                return _fetched(name, info, patterns, into), f"{name}@{info.sha}"
    except failures() as error:
        if kept is None:
            raise FileNotFoundError(f"{setting}: {_told(name, error, why, remedy)}") from error
        taken = "%s: the hub cannot be asked for %s (%s); commit %s is taken from its cache"
        log.warning(taken, setting, name, line(error), kept.name)
    return kept, f"{name}@{kept.name}"


def _asked(name: str, revision: str) -> Any:
    """What the hub says of a repository at a revision: its commit and its files."""
    from huggingface_hub import HfApi

    return HfApi().model_info(name, revision=revision or None)


def _fetched(name: str, info: Any, patterns: list[str], into: Path | None) -> Path:
    """The folder of a commit, fetched without the weight files that are not read."""
    from huggingface_hub import snapshot_download

    files = [s.rfilename for s in info.siblings or ()]
    unread = checkpoints.unneeded(f for f in files if any(fnmatch.fnmatch(f, p) for p in patterns))
    less = {"allow_patterns": patterns, "ignore_patterns": unread or None}
    return Path(snapshot_download(name, revision=info.sha, local_dir=into, **less))


def _told(name: str, error: Exception, why: str | None, remedy: str) -> str:
    """Why a repository could not be fetched, and what to do."""
    from huggingface_hub.errors import GatedRepoError

    if isinstance(error, GatedRepoError):
        return _refused(name, error)
    return _unreached(name, error, why, remedy)


def _refused(name: str, error: Exception) -> str:
    return (
        f"{name} is given only to those who accepted its licence: accept it on the model's page, then set"
        " HF_TOKEN to a token of that account (on a cluster: the key `token` of the Secret"
        f" unpromptable-hub), or name a local folder ({line(error)})"
    )


def _unreached(name: str, error: Exception, why: str | None, remedy: str) -> str:
    return (
        f"{name} is no folder here and could not be fetched from the hub ({line(error)}), and its cache holds"
        f" {f'no whole copy ({why})' if why else 'none'}; {remedy}"
    )


def _cached(name: str, revision: str, whole: Callable[[Path], None]) -> tuple[Path | None, str | None]:
    """The cached folder of a revision, or None and, where it is there in part, what `whole` says of it."""
    from huggingface_hub import try_to_load_from_cache

    for marker in ("model_index.json", "config.json"):
        if isinstance(found := try_to_load_from_cache(name, marker, revision=revision or None), str):
            try:
                whole(Path(found).parent)
            except (ValueError, OSError) as error:
                return None, line(error)
            return Path(found).parent, None
    return None, None


def failures() -> tuple[type[Exception], ...]:
    """What the hub's client raises; its transport's errors are OSErrors in versions that use requests, and
    HTTPErrors in those that use httpx.
    """
    from huggingface_hub import errors

    return (
        OSError,
        ValueError,
        errors.HTTPError,
        *(getattr(errors, n) for n in ("EntryNotFoundError", "XetDownloadError") if hasattr(errors, n)),
    )


def line(error: Exception) -> str:
    """The class of an error and the first line of what it says."""
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"


def check(folder: Path, family: str, parts: dict[str, str]) -> None:
    """Raise when `folder` lacks one of `parts` (subfolder to class) or its weights are not whole, naming what
    was found.
    """
    for part, kind in parts.items():
        check_part(folder, part, kind, family, folder / part)


def check_part(folder: Path, part: str, kind: str, family: str, where: Path) -> None:
    """The same for one network of class `kind`, whose files are in `where`: the subfolder `part`, or `folder`
    itself in the oldest layout.
    """
    config = where / "config.json"
    if not config.is_file():
        found = sorted(p.name for p in folder.iterdir())[:6] if folder.is_dir() else "nothing"
        raise FileNotFoundError(
            f"model: {folder} holds no {part}/config.json (found {found}); give a diffusers folder of the"
            f" family {family} or a hub name"
        )
    settings = checkpoints.read_json(config)
    if (got := settings.get("_class_name")) != kind:
        raise ValueError(
            f"model: {config} is a {checkpoints.word(got)}, but the family {family} needs a {kind}; choose"
            " the family that fits, or another folder"
        )
    if "quantization_config" in settings:
        raise ValueError(
            f"model: {config} is of quantised weights, which cannot be trained; give the model as it was"
            " before"
        )
    checkpoints.check(where)


def scheduler(where: Path, family: str, kinds: tuple[str, ...] = ()) -> dict:
    """The configuration of the scheduler in `where`. Raises where it is missing, or of none of the classes
    `kinds`.
    """
    path = where / "scheduler_config.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"model: {where} holds no scheduler_config.json, which says how the network's noise grows; copy"
            " the scheduler's folder beside the weights"
        )
    found = checkpoints.read_json(path)
    if kinds and found.get("_class_name") not in kinds:
        raise ValueError(
            f"model: {path} is a {checkpoints.word(found.get('_class_name'))}, but the family {family} needs"
            f" {' or '.join(kinds)}; choose the family that fits, or another folder"
        )
    return found

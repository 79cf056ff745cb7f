"""What is finished is not done again: files under one folder, each with a mark that says which inputs made
it.

The store is a folder (a laptop's, or a mounted volume), or an object store's address such as
s3://bucket/prefix. For the latter a step works in a local mirror: what it needs is fetched, what it finishes
is published, mark last.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import fingerprints, records
from .names import own, replacing
from .remote import reach

log = logging.getLogger(__name__)
SPARE, KEPT = ".spare", 1 << 18  # in a store: a file that may go, and its bytes
REMOTE = ".remote"  # in the root of a mirror: the address it mirrors


def named(word: str) -> Path:
    """A path of a command line. Raises ArgumentTypeError where it is empty, which would be the current
    folder.
    """
    if not word.strip():
        raise argparse.ArgumentTypeError("is empty; name a folder")
    return Path(word)


def mirror(where: str) -> str:
    """The folder itself, or for an address the local folder that stands for it.

    Raises ValueError where the address's protocol has no file system here.
    """
    if "://" not in where:
        return where
    import fsspec

    try:
        fsspec.url_to_fs(where)
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"store: {where} cannot be used ({error}); give a folder, or s3://bucket/prefix with the"
            " package's s3 extra installed"
        ) from error
    root = _mine() / hashlib.sha256(where.encode()).hexdigest()[:16]
    root.mkdir(mode=0o700, exist_ok=True)
    (root / REMOTE).write_text(where.rstrip("/"))
    return str(root)


def _mine() -> Path:
    """A folder for mirrors that nobody else can read or has made. Raises PermissionError where it is not."""
    folder = Path(tempfile.gettempdir()) / f"unpromptable-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    stat = folder.lstat()
    if folder.is_symlink() or stat.st_uid != os.getuid() or stat.st_mode & 0o077:
        remedy = "remove it, or set TMPDIR to a folder of your own"
        raise PermissionError(f"{folder}: others can read it, or it is not yours; {remedy}")
    return folder


def finished(path: Path, key: str) -> bool:
    """True where `path` is there, made from the inputs that `key` names, and holds what it held then, as do
    the files beside it that were made with it.

    What was damaged or edited since is said, and counts as not finished, so that it is made again.
    """
    mark = fetch(_mark(path))
    told = records.kept(mark)
    if told.get("key") != key or not fetch(path).exists():
        return False
    if told.get("content") not in (None, fingerprints.content(path)):
        log.warning("%s: not what was finished there (damaged, or edited), so it is made again", path)
        return False
    beside = told.get("beside", {})
    return isinstance(beside, dict) and all(_holds(path.parent / n, beside[n]) for n in beside)


def _holds(path: Path, content: str) -> bool:
    """Whether a file is there and holds this; what it holds else is said."""
    if fetch(path).is_file() and fingerprints.content(path) == content:
        return True
    log.warning("%s: missing, damaged or edited since it was finished, so it is made again", path)
    return False


def finish(path: Path, key: str, beside: Collection[Path] = ()) -> None:
    """Publish `path` and mark it as finished, with what it holds. beside: files that were made with it."""
    for one in (path, *beside):
        publish(one)
    told: dict[str, Any] = {"key": key, "content": fingerprints.content(path)}
    if beside:
        told["beside"] = {os.path.relpath(one, path.parent): fingerprints.content(one) for one in beside}
    write_text(_mark(path), json.dumps(told))


def keep_spare(store: str) -> None:
    """Keep some of the disk for the word that it is full."""
    spare = Path(store) / SPARE
    if not spare.exists():
        spare.parent.mkdir(parents=True, exist_ok=True)
        spare.write_bytes(bytes(KEPT))


def spend(store: str) -> None:
    """Give that part of the disk back, to write what has to be said."""
    (Path(store) / SPARE).unlink(missing_ok=True)


def clear(path: Path) -> None:
    """Remove an output of other inputs, so that nothing of it is mixed with the next."""
    remove(_mark(path))
    remove(path)


def remove(path: Path) -> None:
    """Remove a file or folder here and where it was published."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    remote, target = _remote(path)
    if remote is not None and remote.exists(target):
        remote.rm(target, recursive=True)


def deliver(path: Path, to: str) -> None:
    """Hand a finished output to the pipeline: hard links where the disk allows, else copies."""
    target = Path(to)
    target.parent.mkdir(parents=True, exist_ok=True)
    clear(target)
    if path.is_dir():
        shutil.copytree(path, target, copy_function=_link)
    else:
        _link(path, target)


def write_text(path: Path, text: str) -> None:
    """Write under a temporary name, then rename; then publish."""
    with replacing(path) as temporary:
        temporary.write_text(text)
    publish(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, waiting for whoever holds it; a volume that knows no locks is said and not
    waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            log.warning(
                "%s: this volume has no locks (%s), so work may be done twice; the result is the same",
                path.parent,
                error,
            )
        yield


def fetch(path: Path) -> Path:
    """`path`, brought from the object store first where it is there and not yet here."""
    remote, source = _remote(path)
    if remote is None or path.exists() or not remote.exists(source):
        return path
    temporary = own(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if remote.isdir(source):
        for one in remote.find(source):
            part = temporary / os.path.relpath(one, source)
            part.parent.mkdir(parents=True, exist_ok=True)
            remote.get_file(one, str(part))
    else:
        remote.get_file(source, str(temporary))
    temporary.replace(path)
    return path


def refetch(path: Path) -> Path:
    """`path` as it is in the object store now, where another pod may have changed it since; a folder has
    nothing to fetch.
    """
    if _remote(path)[0] is not None:
        path.unlink(missing_ok=True)
    return fetch(path)


@contextmanager
def afresh(root: Path) -> Iterator[None]:
    """Read a store as it is now: its mirror, whose files may be old and of people, begins and ends empty. A
    folder stays as it is.
    """
    _empty(root)
    try:
        yield
    finally:
        _empty(root)


def _empty(root: Path) -> None:
    """Remove what a mirror holds, but its address and the lock by which it is held."""
    for one in root.iterdir() if mirrors(root) else ():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        elif one.name not in (REMOTE, ".lock"):
            one.unlink()


def mirrors(root: Path) -> bool:
    """Whether a folder is the mirror of an address."""
    return (root / REMOTE).is_file()


def publish(path: Path) -> None:
    """Bring the object store's copy up to date; nothing to do for a folder."""
    remote, target = _remote(path)
    if remote is None:
        return
    for file in [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]:
        to = target if file == path else f"{target}/{file.relative_to(path).as_posix()}"
        remote.makedirs(os.path.dirname(to))
        remote.put_file(str(file), to)


def address(path: Path) -> str:
    """Where others find `path`: its address in the object store, or its absolute path."""
    for parent in path.parents:
        if (parent / REMOTE).is_file():
            return f"{(parent / REMOTE).read_text()}/{path.relative_to(parent).as_posix()}"
    return str(path.resolve())


def _remote(path: Path) -> tuple[Any, str]:
    """The file system and the path in it that `path` mirrors; (None, "") outside of mirrors."""
    for parent in path.parents:
        if (parent / REMOTE).is_file():
            system, root = reach((parent / REMOTE).read_text())
            return system, f"{root}/{path.relative_to(parent).as_posix()}"
    return None, ""


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _mark(path: Path) -> Path:
    return path.with_name(f".{path.name}.done")

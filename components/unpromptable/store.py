"""What is finished is not done again: files under one folder, each with a mark that says which inputs made it."""
from __future__ import annotations

import json
import os
import shutil
from pathlib import Path


def place(store: str, spec: dict, name: str) -> Path:
    """Where a step's output lies: <store>/<folder of the cell>/<name>."""
    return Path(store) / spec["folder"] / name


def finished(path: Path, key: str) -> bool:
    """True where `path` is there, whole, and was made from the inputs that `key` names."""
    mark = _mark(path)
    return path.exists() and mark.is_file() and json.loads(mark.read_text())["key"] == key


def finish(path: Path, key: str) -> None:
    """Mark `path` as finished."""
    write_text(_mark(path), json.dumps({"key": key}))


def clear(path: Path) -> None:
    """Remove an output of other inputs, so that nothing of it is mixed with the next."""
    _mark(path).unlink(missing_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


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
    """Write under a temporary name, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _mark(path: Path) -> Path:
    return path.with_name(f".{path.name}.done")

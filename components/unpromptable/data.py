"""Image artifacts: one safetensors file of uint8 arrays with its manifest; and the real and forget images of
an experiment.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np

from .storage import arrays, files, records

log = logging.getLogger(__name__)


class Rows:
    """Some rows of an array that is read on demand, as an array of them that is read on demand too.

    It has a length, a shape and a dtype; any index gives an array, and so does `np.asarray`, of them all.
    """

    def __init__(self, array: np.ndarray, which: Any):
        """which: positions, or a truth value for each row."""
        self.array, which = array, np.asarray(which)
        self.which = np.flatnonzero(which) if which.dtype == bool else which.astype(np.intp)
        self.shape, self.dtype, self.ndim = (len(self.which), *array.shape[1:]), array.dtype, array.ndim
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, index: Any) -> np.ndarray:
        first, *others = index if isinstance(index, tuple) else (index,)
        if first is Ellipsis or first is None:
            return np.asarray(self)[index]
        chosen = self.array[self.which[first]]
        return chosen[(*[slice(None)] * (chosen.ndim - self.ndim + 1), *others)] if others else chosen

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.array[self.which], dtype)


def save(path: str | Path, images: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Write uint8 arrays (N, H, W, 3) and their manifest; the file appears whole or not at all.

    images: an array, rows of one, or a list of such parts that follow one another. Holds a few pictures at a
    time.
    """
    parts = {k: v if isinstance(v, list) else [v] for k, v in images.items()}
    shapes = {k: [sum(map(len, v)), *v[0].shape[1:]] for k, v in parts.items()}
    told = lambda found: {"manifest": json.dumps({**manifest, "shapes": shapes, "sha256": found})}
    with files.replacing(Path(path)) as temporary:
        arrays.write(temporary, parts, told)


def load(path: str | Path, *names: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays of an artifact by name, all or these, read on demand, and its manifest.

    Raises ValueError where the file is truncated, one of these arrays was altered, or is not there.
    """
    found, manifest = _opened(path)
    chosen = names or tuple(found.places)
    for name in chosen:
        if name not in found.places or found.sha256(name) != manifest["sha256"].get(name):
            raise ValueError(
                f"{path}: {name} does not match its SHA-256; remove the file and run again to rebuild it"
            )
    views = found.views()
    return {name: views[name] for name in chosen}, manifest


def peek(path: Path, name: str = "") -> tuple[np.ndarray | None, dict[str, Any]]:
    """One array of an artifact, unchecked and read on demand, or None where it has none of that name; and the
    manifest. For pages.
    """
    found, manifest = _opened(path)
    return found.views()[name] if name in found.places else None, manifest


def first(path: Path, name: str, count: int) -> np.ndarray:
    """The first pictures of an array of an artifact, unchecked; the others are not read. For pages."""
    return np.array(_opened(path)[0].views()[name][:count])


def _opened(path: str | Path) -> tuple[arrays.Layout, dict[str, Any]]:
    """What an artifact holds, and its manifest. Raises ValueError where it is none, or not whole."""
    from safetensors import SafetensorError

    try:
        found = arrays.layout(path)
        text = found.metadata.get("manifest", "")
        return found, records.parsed(text.encode(), "its manifest", dict, sha256=dict, shapes=dict)
    except (SafetensorError, ValueError) as error:
        why = str(error).splitlines()[0][:200]
        raise ValueError(
            f"{path}: not a whole image artifact ({why}); remove it and run again to rebuild it"
        ) from error


def sha256(array: Any) -> str:
    """Identity of an array's bytes, or of those of some rows."""
    found = hashlib.sha256()
    for part in arrays.pieces(array):
        found.update(np.ascontiguousarray(part))
    return found.hexdigest()


def forget(found: dict[str, np.ndarray], manifest: dict[str, Any]) -> dict[str, np.ndarray]:
    """The forget images (H, W, 3) by their names."""
    return dict(zip(manifest["forget_names"], found["forget"]))


def remember_names(found: dict[str, np.ndarray], manifest: dict[str, Any]) -> tuple[str, ...]:
    """Names of what `remember` gives."""
    if "remember" in found:
        return tuple(f"output {i}" for i in range(len(found["remember"])))
    gone = set(manifest["removed"])
    return tuple(n for n in manifest["names"] if n not in gone)


def remember(found: dict[str, np.ndarray], manifest: dict[str, Any]) -> Any:
    """The remember images (R, H, W, 3): the real ones without the removed, or those that the base model
    drew.
    """
    if "remember" in found:
        return found["remember"]
    gone = set(manifest["removed"])
    return Rows(found["real"], [n not in gone for n in manifest["names"]])

"""Image artifacts: one safetensors file of uint8 arrays with its manifest; and the real and forget images of
an experiment.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from fnmatch import fnmatchcase
from glob import escape as glob_escape
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable.planning.settings import Pictures

from . import pictures
from .storage import fingerprints, store

log = logging.getLogger(__name__)


def save(path: str | Path, images: dict[str, np.ndarray], manifest: dict[str, Any]) -> None:
    """Write uint8 arrays (N, H, W, 3) and their manifest; the file appears whole or not at all."""
    from safetensors.numpy import save_file

    arrays = {k: np.ascontiguousarray(v) for k, v in images.items()}
    manifest = {
        **manifest,
        "shapes": {k: list(v.shape) for k, v in arrays.items()},
        "sha256": {k: sha256(v) for k, v in arrays.items()},
    }
    temporary = store.own(Path(path))
    temporary.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, temporary, metadata={"manifest": json.dumps(manifest)})
    temporary.replace(path)


def load(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and manifest of an artifact. Raises ValueError where the file is truncated or was altered."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            manifest = json.loads((file.metadata() or {})["manifest"])
            arrays = {k: file.get_tensor(k) for k in file.keys()}
    except (SafetensorError, KeyError) as error:
        raise ValueError(
            f"{path}: not a whole image artifact ({error}); remove it and run again to rebuild it"
        ) from error
    for key, array in arrays.items():
        if sha256(array) != manifest["sha256"][key]:
            raise ValueError(
                f"{path}: {key} does not match its SHA-256; remove the file and run again to rebuild it"
            )
    return arrays, manifest


def peek(path: Path, name: str = "") -> tuple[np.ndarray | None, dict[str, Any]]:
    """One array of an artifact, unchecked, or None where it has none of that name; and the manifest. For
    pages.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        manifest = json.loads(file.metadata()["manifest"])
        return file.get_tensor(name) if name in file.keys() else None, manifest


def sha256(array: np.ndarray) -> str:
    """Identity of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def read_folder(
    folder: str | Path, size: int, how: Pictures = Pictures(), what: str = "real"
) -> tuple[np.ndarray, list[str]]:
    """Every picture below `folder`, uint8 (N, size, size, 3), and their paths relative to it. `what`: the
    setting that names it.
    """
    found = pictures.find(folder, how.links, what)
    return pictures.read_all(found, size, how.background)[0], found.names


def read_real(
    source: str, size: int, how: Pictures = Pictures()
) -> tuple[np.ndarray, list[str], dict[str, str]]:
    """The real images of a world: the shipped portraits, the right flags of a country (`flags/japan`), or a
    folder.

    Returns them, their names, and what there is to say of the folder: what was passed over, or done to some
    pictures.
    """
    drawn = drawn_by(source)
    if drawn is None:
        found = pictures.find(source, how.links)
        images, said = pictures.read_all(found, size, how.background)
        return images, found.names, {**found.said(), **said}
    images, names = drawn.training_set() if source == "miniature" else drawn.right(source.partition("/")[2])
    if size != drawn.SIZE:
        raise ValueError(
            f"real: the pictures of {source} are {drawn.SIZE} pixels, the model wants {size}; name a folder"
            " as `real`"
        )
    return images, names, {}


def drawn_by(source: str):
    """The module that draws a shipped source; None for a folder."""
    if source == "miniature":
        from .miniature import portraits

        return portraits
    if source.partition("/")[0] == "flags" and not Path(source).is_dir():
        from .miniature import flags

        return flags
    return None


def read_forget(
    targets: list[str], images: np.ndarray, names: list[str], source: str = "", background: str = "white"
) -> np.ndarray:
    """The forget images, (F, H, W, 3): real images by name, other drawn pictures of the source (people whom
    no network knows), or files.
    """
    known, drawn = {n: images[i] for i, n in enumerate(names)}, drawn_by(source)
    more, size = set(drawn.names()) if drawn else set(), images.shape[1]
    one = lambda t: (
        known[t]
        if t in known
        else drawn.picture(*drawn.parse(t))
        if t in more
        else pictures.read(Path(t), size, background)
    )
    return np.stack([one(t) for t in targets])


def collect(
    source: str, size: int, targets: list[str], leave_out: tuple[str, ...] = (), how: Pictures = Pictures()
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Real and forget images; a forget image among the real ones is removed from the remember set, and that
    is said.

    leave_out: patterns of names that are removed as well, {group} being a target's name up to its last dash
    or slash: other pictures of the person would teach the forgotten one again. A pattern without {group} must
    fit an image.

    Returns arrays 'real' (N, H, W, 3), 'forget' (F, H, W, 3) and a manifest with names, forget_names, removed
    and what there is to say of the folder.
    """
    images, names, said = read_real(source, size, how)
    forget = read_forget(targets, images, names, source, how.background)
    hashes = {sha256(f) for f in forget}
    found = [n for n, image in zip(names, images) if sha256(image) in hashes]
    if found:
        log.info(
            "forget images found among the %d real ones and removed from the remember set: %s",
            len(names),
            ", ".join(found),
        )
    groups = [glob_escape(re.split(r"[-/][^-/]*$", t)[0]) for t in targets]
    fits = {
        p: {n for n in names for g in groups if fnmatchcase(n, p.replace("{group}", g))} for p in leave_out
    }
    for pattern, left in fits.items():
        if not left and "{group}" not in pattern:
            raise ValueError(
                f"remember.leave_out: {pattern} fits none of the images of {source} (such as {names[0]});"
                " correct the pattern or leave it out"
            )
    more = set().union(*fits.values()) - set(found) - set(targets)
    if leave_out:
        log.info(
            "left out of the remember set for showing the same as a target (remember.leave_out): %s",
            f"{len(more)} images" if more else "none, no other image fits",
        )
    removed = [n for n in names if n in found or n in more]
    if len(removed) == len(names):
        raise ValueError(
            f"real: all {len(names)} images of {source} are forget"
            f" images{' or left out by remember.leave_out' if more else ''}, so the remember set would be"
            f" empty; add images to keep{' or correct the pattern' if more else ''}"
        )
    return {"real": images, "forget": forget}, {
        "names": names,
        "forget_names": list(targets),
        "removed": removed,
        "source": source,
        "said": said,
    }


def remember(arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> np.ndarray:
    """The remember images (R, H, W, 3): the real ones without the removed, or those that the base model
    drew.
    """
    if "remember" in arrays:
        return arrays["remember"]
    gone = set(manifest["removed"])
    return arrays["real"][[n not in gone for n in manifest["names"]]]


def fingerprint(source: str, targets: list[str], model: str, links: bool = False) -> list[str]:
    """Identity of the inputs that are files, from names and what they hold; raises where a target cannot be
    found.
    """
    found = []
    drawn = drawn_by(source)
    if drawn:
        known = set(drawn.names())
        if source != "miniature":
            drawn.right(source.partition("/")[2])
    else:
        folder = pictures.find(source, links)
        known = set(folder.names)
        found += [stamp(f) for f in folder.files]
    for target in targets:
        if target not in known and not Path(target).is_file():
            raise FileNotFoundError(
                f"forget: {target} is neither a file nor a picture of {source} (such as {min(known)})"
            )
        if target not in known:
            pictures.read(Path(target), 8)
            found.append(stamp(Path(target)))
    if Path(model).is_dir():
        found += [stamp(f) for f in sorted(Path(model).rglob("*")) if f.is_file()]
    return found


def stamp(path: Path) -> str:
    """A file's name, and its identity by what it holds."""
    return f"{path}:{fingerprints.of(path)}"

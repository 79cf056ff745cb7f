"""An image artifact without what belongs to some targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import data
from unpromptable.planning.spec import Run
from unpromptable.preparing import collect, remember_set
from unpromptable.storage import files, records
from unpromptable.storage.inventory import Held

Arrays = dict[str, np.ndarray]
Manifest = dict[str, Any]


def is_artifact(path: Path) -> bool:
    """Whether a file is a whole image artifact: safetensors with a manifest."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            told = records.parsed((file.metadata() or {}).get("manifest", "{}").encode(), "manifest", dict)
    except (SafetensorError, ValueError):
        return False
    return "sha256" in told


def cut(root: Path, name: str, targets: tuple[str, ...], run: Run) -> list[Held]:
    """Write an artifact without what belongs to the targets, here and where it is published.

    Returns what went, an entry per array of pictures; nothing where the artifact held none. One that keeps
    no array is removed.
    """
    path = root / name
    arrays, manifest = data.load(path)
    kept, told = without(arrays, manifest, targets, run)
    gone = [(key, pictures) for key, pictures in arrays.items() if len(kept.get(key, ())) != len(pictures)]
    if not gone:
        return []
    files.clear(path)
    if any(len(pictures) for pictures in kept.values()):
        data.save(path, kept, {k: v for k, v in told.items() if k not in ("shapes", "sha256")})
        files.publish(path)
    at = files.address(path).removesuffix(f"/{name}")
    return [_gone(f"{name}:{key}", pictures, kept.get(key), at) for key, pictures in gone]


def without(
    arrays: Arrays, manifest: Manifest, targets: tuple[str, ...], run: Run
) -> tuple[Arrays, Manifest]:
    """Arrays and manifest without the targets' own: what they were denoised to, their forget images with
    their near copies and other pictures of the same person, and their surrogates.
    """
    kept = {k: v for k, v in arrays.items() if k not in {f"injected/{t}" for t in targets}}
    if "forget_names" in manifest:
        return _data(kept, manifest, targets, run)
    if "images" in kept and "targets" in manifest:
        return _surrogates(kept, manifest, targets)
    return kept, manifest


def _surrogates(arrays: Arrays, manifest: Manifest, targets: tuple[str, ...]) -> tuple[Arrays, Manifest]:
    stay = [i for i, t in enumerate(manifest["targets"]) if t not in targets]
    told = {**manifest, "targets": [manifest["targets"][i] for i in stay]}
    if "distances" in manifest:
        told["distances"] = [d for d in manifest["distances"] if d["target"] not in targets]
    return {**arrays, **{k: arrays[k][stay] for k in ("images", "neighbours") if k in arrays}}, told


def _data(arrays: Arrays, manifest: Manifest, targets: tuple[str, ...], run: Run) -> tuple[Arrays, Manifest]:
    """The real and forget images without a target's, and what was screened without its copies."""
    listed = manifest["forget_names"]
    stay = [i for i, t in enumerate(listed) if t not in targets]
    forget = arrays["forget"][[i for i in range(len(listed)) if i not in stay]]
    arrays, manifest, copies = _screened(arrays, manifest, forget)
    others = {listed[i] for i in stay}
    gone = (set(targets) | copies | _person(manifest, targets, run)) - others
    hashes, names = {data.sha256(f) for f in forget}, _names(arrays, manifest)
    own = lambda i: names[i] in gone or names[i] not in others and data.sha256(arrays["real"][i]) in hashes
    left = [i for i in range(len(names)) if not own(i)]
    gone |= {n for n in manifest["names"] if n not in {names[i] for i in left}}
    told = {
        **manifest,
        "forget_names": [listed[i] for i in stay],
        "names": [n for n in manifest["names"] if n not in gone],
        "removed": [n for n in manifest["removed"] if n not in gone],
    }
    return {**arrays, "real": data.Rows(arrays["real"], left), "forget": arrays["forget"][stay]}, told


def _names(arrays: Arrays, manifest: Manifest) -> list[str | None]:
    """A name for each real image; None for one that the manifest does not name."""
    names = manifest["names"]
    return [*names, *[None] * (len(arrays["real"]) - len(names))]


def _screened(arrays: Arrays, manifest: Manifest, forget: np.ndarray) -> tuple[Arrays, Manifest, set[str]]:
    """Without the screened pictures that are like these forget images, and the names of those.

    A base model's outputs were screened by their descriptors, of which no target is noted: all of them go.
    """
    if "screened" not in arrays:
        return arrays, manifest, set()
    if "copies" not in manifest:
        told = {k: [] for k in ("screened_seeds", "screened_similarity") if k in manifest}
        return {**arrays, "screened": arrays["screened"][:0]}, {**manifest, **told}, set()
    shown = [remember_set.views(image, mirrored=True) for image in forget]
    near = [
        max((remember_set.alike(remember_set.views(one), s) for s in shown), default=0) >= remember_set.COPY
        for one in arrays["screened"]
    ]
    gone = {name for name, like in zip(manifest["copies"], near) if like}
    told = {"copies": {k: v for k, v in manifest["copies"].items() if k not in gone}}
    return {**arrays, "screened": arrays["screened"][~np.array(near, bool)]}, {**manifest, **told}, gone


def _person(manifest: Manifest, targets: tuple[str, ...], run: Run) -> set[str]:
    """The names that `remember.leave_out` left out for showing the same person as a target."""
    patterns = tuple(p for p in run.experiment.remember.leave_out if "{group}" in p)
    return collect.left_out(manifest["names"], list(targets), patterns, run.experiment.real)


def _gone(name: str, before: np.ndarray, after: np.ndarray | None, at: str) -> Held:
    """An array of pictures that went, or lost some; its size and SHA-256 are those before."""
    size = before.nbytes - (0 if after is None else after.nbytes)
    return Held(name, size, data.sha256(before), at)

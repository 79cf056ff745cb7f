"""Pictures of a run: targets, surrogates, denoised draws and unrelated seeds (Figs. 5, 9 and 11)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unpromptable import data
from unpromptable.planning import plugins

from . import groups
from .figures import finished
from .row import Line, Row, Surrogate
from .veil import veiled

# unrelated seeds and injection draws shown; pixels a side to which small pictures grow
SEEDS, DRAWS, SHOWN = 7, 4, 64


@dataclass(frozen=True)
class Shown:
    """A model beside the others: its surrogate (H, W, 3), None where it never saw one; its denoised draws and
    unrelated seeds (n, H, W, 3), the seeds None where an earlier target's part shows them; all uint8.
    Surrogate and draws are also None where they are left out.
    """

    name: str
    surrogate: np.ndarray | None
    draws: np.ndarray | None
    seeds: np.ndarray | None


@dataclass(frozen=True)
class Compared:
    """A target (H, W, 3), None where it is left out, and the models that were to forget it, the one before
    first.
    """

    target: str
    image: np.ndarray | None
    models: tuple[Shown, ...]


@dataclass(frozen=True)
class Edited:
    """A target's surrogate of one setting (H, W, 3), None where the method reads none or it is left out, and
    its distances.
    """

    image: np.ndarray | None
    distances: Surrogate


@dataclass(frozen=True)
class Mapped:
    """A target (H, W, 3), None where it is left out, and what each setting maps it to, None where that does
    not forget it.
    """

    target: str
    image: np.ndarray | None
    cells: tuple[Edited | None, ...]


@dataclass(frozen=True)
class Surrogates:
    """The targets with their surrogates by setting."""

    columns: tuple[str, ...] = ()
    targets: tuple[Mapped, ...] = ()


def comparison(
    store: Path, rows: Sequence[Row], lines: Sequence[Line], how: str = "show"
) -> tuple[Compared, ...]:
    """Per target (Fig. 11): the target, and what the model before and each that was to forget it draw.

    how: what is seen of the targets, see `veil`.
    """
    real, manifest = data.load(store / "shared" / "data.safetensors", "forget")
    before = store / "shared" / "before.safetensors"
    parts, seen = [], set[str]()
    for target, image in zip(manifest["forget_names"], real["forget"]):
        draws = veiled(_draws(before, target), how)
        models = [Shown("Before", None, draws, data.first(before, "samples", SEEDS))]
        for row in finished(rows):
            if any(s.target == target for s in row.surrogates):
                line, first = groups.member(lines, row), row.name not in seen
                name = f"{line.name}, seed {groups.seed(row)}" if line.by_seed else line.name
                models.append(_shown(store, row, name, target, first, how))
                seen.add(row.name)
        parts.append(Compared(target, veiled(image, how), tuple(models)))
    return tuple(parts)


def _shown(store: Path, row: Row, name: str, target: str, first: bool, how: str) -> Shown:
    after = store / row.folder / "after.safetensors"
    draws = veiled(_draws(after, target), how)
    seeds = data.first(after, "samples", SEEDS) if first else None
    return Shown(name, veiled(surrogate(store, row, target), how), draws, seeds)


def _draws(path: Path, target: str) -> np.ndarray:
    name = f"injected/{target}"
    return data.load(path, name)[0][name][:DRAWS]


def surrogate(store: Path, row: Row, target: str) -> np.ndarray | None:
    """A cell's surrogate of one target, (H, W, 3); None where its method reads none, or it was removed."""
    if not plugins.find("method", row.method).reads_surrogate:
        return None
    path = store / row.folder / "surrogates.safetensors"
    if not path.is_file():
        return None
    made, manifest = data.load(path)
    return made["images"][manifest["targets"].index(target)] if target in manifest["targets"] else None


def surrogates(store: Path, rows: Sequence[Row], lines: Sequence[Line], how: str = "show") -> Surrogates:
    """The targets with their surrogates by setting (Figs. 5 and 9), of the settings that read any.

    how: what is seen of the targets, see `veil`.
    """
    real, manifest = data.load(store / "shared" / "data.safetensors", "forget")
    edited = [(line.name, _edited(store, rows, line)) for line in lines]
    shown = [(name, cells) for name, cells in edited if any(c.image is not None for c in cells.values())]
    return Surrogates(
        tuple(groups.short([name for name, _ in shown])),
        tuple(
            Mapped(target, veiled(image, how), tuple(_seen(cells.get(target), how) for _, cells in shown))
            for target, image in zip(manifest["forget_names"], real["forget"])
        ),
    )


def _edited(store: Path, rows: Sequence[Row], line: Line) -> dict[str, Edited]:
    """A line's surrogates by target."""
    return {
        s.target: Edited(surrogate(store, row, s.target), s)
        for row in finished(rows)
        if row.name in line.members
        for s in row.surrogates
    }


def _seen(edited: Edited | None, how: str) -> Edited | None:
    return replace(edited, image=veiled(edited.image, how)) if edited else None


def png(image: np.ndarray) -> bytes:
    """One uint8 picture (H, W, 3) as PNG, small ones enlarged by whole pixels."""
    from PIL import Image

    factor = max(1, SHOWN // image.shape[0])
    buffer = io.BytesIO()
    Image.fromarray(image).resize(
        (image.shape[1] * factor, image.shape[0] * factor), Image.Resampling.NEAREST
    ).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def strip(images: np.ndarray, gap: int = 1) -> np.ndarray:
    """Pictures (N, H, W, 3) side by side with white gaps."""
    padded = np.pad(images, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=255)
    return np.concatenate(list(padded), 1)[:, :-gap]

"""Pictures of a run: targets, surrogates, denoised draws and unrelated seeds (Figs. 5, 9 and 11)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import data
from unpromptable.planning import plugins

from . import groups
from .figures import finished

# unrelated seeds and injection draws shown; pixels a side to which small pictures grow
SEEDS, DRAWS, SHOWN = 7, 4, 64


def comparison(store: Path, rows: list[dict[str, Any]], lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per target (Fig. 11): the target, and per model its surrogate, the denoised draws and unrelated seeds,
    uint8 (n, H, W, 3).

    The surrogate is None where the model never saw it; the seeds are None where an earlier target's part
    shows them.
    """
    real, manifest = data.load(store / "shared" / "data.safetensors")
    before, _ = data.load(store / "shared" / "before.safetensors")
    parts, seen = [], set()
    for target, image in zip(manifest["forget_names"], real["forget"]):
        own = [r for r in finished(rows) if any(s["target"] == target for s in r["surrogates"])]
        models = [
            {
                "name": "Before",
                "surrogate": None,
                "draws": before[f"injected/{target}"][:DRAWS],
                "seeds": before["samples"][:SEEDS],
            }
        ]
        for row in own:
            after, _ = data.load(store / row["folder"] / "after.safetensors")
            name = groups.member(lines, row)["name"]
            models.append(
                {
                    "name": name,
                    "surrogate": surrogate(store, row, target),
                    "draws": after[f"injected/{target}"][:DRAWS],
                    "seeds": None if row["name"] in seen else after["samples"][:SEEDS],
                }
            )
            seen.add(row["name"])
        parts.append({"target": target, "image": image, "models": models})
    return parts


def surrogate(store: Path, row: dict[str, Any], target: str) -> np.ndarray | None:
    """A cell's surrogate of one target, (H, W, 3); None where its method reads none."""
    if not plugins.find("method", row["method"]).reads_surrogate:
        return None
    made, manifest = data.load(store / row["folder"] / "surrogates.safetensors")
    return made["images"][manifest["targets"].index(target)]


def surrogates(store: Path, rows: list[dict[str, Any]], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The targets with their surrogates by setting (Figs. 5 and 9).

    columns: the settings. targets: per target its picture and, per column, the surrogate with its distances,
    or None.
    """
    real, manifest = data.load(store / "shared" / "data.safetensors")
    shown = [
        (
            line,
            {
                t: (r, s)
                for r in finished(rows)
                if r["name"] in line["members"]
                for s in r["surrogates"]
                for t in [s["target"]]
            },
        )
        for line in lines
    ]
    shown = [
        (line, cells)
        for line, cells in shown
        if any(surrogate(store, r, t) is not None for t, (r, _) in cells.items())
    ]
    targets = [
        {
            "target": target,
            "image": image,
            "cells": [
                (
                    {"image": surrogate(store, cells[target][0], target), **cells[target][1]}
                    if target in cells
                    else None
                )
                for _, cells in shown
            ],
        }
        for target, image in zip(manifest["forget_names"], real["forget"])
    ]
    return {"columns": groups.short([line["name"] for line, _ in shown]), "targets": targets}


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

"""Pictures of a run: grids of seeds, the injected target, intervals, curves; PNG files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import data
from unpromptable.planning import plugins

from . import groups

# unrelated seeds and injection draws shown; pixels a side to which small pictures grow
SEEDS, DRAWS, SHOWN = 7, 4, 64
INK, GRID, BLUE, RED = "#444", "#ddd", "#2563eb", "#dc2626"


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
    if not getattr(plugins.module("method", row["method"]).Method, "reads_surrogate", True):
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


def finished(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that hold numbers."""
    return [r for r in rows if r["status"] == "done"]


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


def history(store: Path, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The training history of a cell; empty where it has none."""
    path = store / row["folder"] / "history.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def forgetting_plot(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """SSCD of every line with its interval and the 0.4 line, the ceiling as a hollow mark."""
    plt = pyplot()
    done = finished(rows)
    figure, axis = plt.subplots(figsize=(6.4, 0.9 + 0.42 * len(done)), dpi=150)
    for y, row in enumerate(reversed(done)):
        value, ceiling = row["sscd"], row["sscd_ceiling"]
        if value["low"] is not None:
            axis.plot([value["low"], value["high"]], [y, y], color=BLUE, lw=3, solid_capstyle="round")
        axis.plot(value["mean"], y, "o", color=BLUE, ms=7)
        axis.plot(ceiling["mean"], y, "o", mfc="none", mec=INK, ms=7)
    axis.axvline(0.4, color=RED, ls="--", lw=1)
    axis.text(0.41, len(done) - 0.45, "forgotten below 0.4", color=RED, fontsize=8)
    axis.set(
        yticks=range(len(done)),
        xlim=(-0.3, 1.05),
        ylim=(-0.6, len(done) - 0.1),
        xlabel="denoised target, before against after (hollow: target against before)",
    )
    axis.set_yticklabels([words(r["name"]) for r in reversed(done)])
    return _save(folder, figure, axis, "forgetting")


def curves_plot(
    store: Path, rows: list[dict[str, Any]], lines: list[dict[str, Any]], folder: Path
) -> Path | None:
    """Losses, cosine and share of conflicts over the updates, mean of each line's cells, smoothed over 20;
    None without history.
    """
    plt = pyplot()
    keys = (
        ("remember", "remember loss"),
        ("forget", "forget loss"),
        ("cosine", "cosine of the two gradients"),
        ("conflict", "share of conflicting updates"),
    )
    kept = {
        line["name"]: [h for r in rows if r["name"] in line["members"] for h in [history(store, r)] if h]
        for line in lines
    }
    if not any(kept.values()):
        return None
    colours = plt.cm.tab10.colors if len(kept) <= 10 else plt.cm.viridis(np.linspace(0, 0.95, len(kept)))
    figure, axes = plt.subplots(2, 2, figsize=(9, 5.2), dpi=150)
    handles: dict[str, Any] = {}
    for (key, title), axis in zip(keys, axes.flat):
        for (name, histories), colour in zip(kept.items(), colours):
            runs = [[(h["step"], h[key]) for h in one if key in h] for one in histories]
            length = min((len(r) for r in runs), default=0)
            if length:
                x, y = np.mean([r[:length] for r in runs], 0).T
                width = min(20, length)
                smooth = np.convolve(y, np.ones(width) / width, "valid")
                handles[words(name)] = axis.plot(x[width - 1 :], smooth, lw=1.3, color=colour)[0]
        axis.set_title(title, fontsize=9)
        axis.grid(color=GRID, lw=0.5)
        axis.tick_params(labelsize=8)
        open_corner(axis)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="lower center",
        ncol=min(len(handles), 7),
        frameon=False,
        fontsize=8,
    )
    figure.tight_layout(rect=(0, 0.05 * -(-len(handles) // 7), 1, 1))
    return write(folder, figure, "curves")


def pyplot() -> Any:
    """matplotlib's pyplot, drawing to files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def words(name: str) -> str:
    """A name as matplotlib draws it letter by letter: what stands between two dollars is no formula."""
    return name.replace("$", r"\$")


def open_corner(axis: Any) -> None:
    """No lines above and to the right."""
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _save(folder: Path, figure: Any, axis: Any, name: str) -> Path:
    axis.grid(axis="x", color=GRID, lw=0.5)
    open_corner(axis)
    figure.tight_layout()
    return write(folder, figure, name)


def write(folder: Path, figure: Any, name: str) -> Path:
    """Save a matplotlib figure as `folder`/`name`.png and close it."""
    import matplotlib.pyplot as plt

    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
    plt.close(figure)
    return path

"""Pictures of a run: grids of seeds, the injected target, intervals, curves; PNG files."""
from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from . import data, plugins

SEEDS, DRAWS, SHOWN = 10, 4, 64  # columns of a grid; injection draws shown; pixels a side to which small pictures grow
INK, GRID, BLUE, RED = "#444", "#ddd", "#2563eb", "#dc2626"


def samples_grid(store: Path, rows: list[dict[str, Any]]) -> list[tuple[str, np.ndarray]]:
    """(name, uint8 (SEEDS, H, W, 3)) for the base model and every finished cell, the same seeds in each."""
    before, _ = data.load(store / "shared" / "before.safetensors")
    grid = [("Before", before["samples"][:SEEDS])]
    for row in finished(rows):
        after, _ = data.load(store / row["folder"] / "after.safetensors")
        grid.append((row["name"], after["samples"][:SEEDS]))
    return grid


def injected_grid(store: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per target: the target, and per model the surrogate (None where the model never saw it) and the denoised draws."""
    real, manifest = data.load(store / "shared" / "data.safetensors")
    before, _ = data.load(store / "shared" / "before.safetensors")
    tables = []
    for target, image in zip(manifest["forget_names"], real["forget"]):
        lines = [("Before", None, before[f"injected/{target}"][:DRAWS])]
        for row in finished(rows):
            after, _ = data.load(store / row["folder"] / "after.safetensors")
            painted, made = data.load(store / row["folder"] / "surrogates.safetensors")
            if target in made["targets"]:
                shown = painted["images"][made["targets"].index(target)] if getattr(plugins.module("method", row["method"]).Method, "reads_surrogate", True) else None
                lines.append((row["name"], shown, after[f"injected/{target}"][:DRAWS]))
        tables.append({"target": target, "image": image, "lines": lines})
    return tables


def finished(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that hold numbers."""
    return [r for r in rows if r["status"] == "done"]


def png(image: np.ndarray) -> bytes:
    """One uint8 picture (H, W, 3) as PNG, small ones enlarged by whole pixels."""
    from PIL import Image

    factor = max(1, SHOWN // image.shape[0])
    buffer = io.BytesIO()
    Image.fromarray(image).resize((image.shape[1] * factor, image.shape[0] * factor), Image.Resampling.NEAREST).save(buffer, "PNG", optimize=True)
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
    """SSCD of every cell with its interval and the 0.4 line, the ceiling as a hollow mark."""
    plt = pyplot()
    done = finished(rows)
    figure, axis = plt.subplots(figsize=(6.4, 0.9 + 0.42 * len(done)), dpi=150)
    for y, row in enumerate(reversed(done)):
        value, ceiling = row["sscd"], row["sscd_ceiling"]
        axis.plot([value["low"], value["high"]], [y, y], color=BLUE, lw=3, solid_capstyle="round")
        axis.plot(value["mean"], y, "o", color=BLUE, ms=7)
        axis.plot(ceiling["mean"], y, "o", mfc="none", mec=INK, ms=7)
    axis.axvline(0.4, color=RED, ls="--", lw=1)
    axis.text(0.41, len(done) - 0.45, "forgotten below 0.4", color=RED, fontsize=8)
    axis.set(yticks=range(len(done)), xlim=(-0.3, 1.05), ylim=(-0.6, len(done) - 0.1), xlabel="denoised target, before against after (hollow: target against before)")
    axis.set_yticklabels([r["name"] for r in reversed(done)])
    return _save(folder, figure, axis, "forgetting")


def tradeoff_plot(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """SSCD against LPIPS: forgotten to the left, intact at the bottom."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(6.4, 3.6), dpi=150)
    for row in finished(rows):
        x, y = row["sscd"], row["lpips"]
        axis.errorbar(x["mean"], y["mean"], xerr=[[x["mean"] - x["low"]], [x["high"] - x["mean"]]], yerr=[[y["mean"] - y["low"]], [y["high"] - y["mean"]]], fmt="o", color=BLUE, lw=1)
        axis.annotate(row["name"], (x["mean"], y["mean"]), xytext=(6, 5), textcoords="offset points", fontsize=9, color=INK)
    axis.axvline(0.4, color=RED, ls="--", lw=1)
    axis.set(xlabel="SSCD (forgotten below 0.4)", ylabel="LPIPS ↓ (lower keeps more)")
    return _save(folder, figure, axis, "tradeoff")


def curves_plot(store: Path, rows: list[dict[str, Any]], folder: Path) -> Path | None:
    """Losses, cosine and share of conflicts over the updates of every cell, smoothed over 20; None without history."""
    plt = pyplot()
    keys = (("remember", "remember loss"), ("forget", "forget loss"), ("cosine", "cosine of the two gradients"), ("conflict", "share of conflicting updates"))
    kept = {r["name"]: history(store, r) for r in rows}
    if not any(kept.values()):
        return None
    figure, axes = plt.subplots(2, 2, figsize=(9, 5.2), dpi=150)
    for (key, title), axis in zip(keys, axes.flat):
        for name, lines in kept.items():
            points = [(h["step"], h[key]) for h in lines if key in h]
            if points:
                x, y = np.array(points).T
                width = min(20, len(y))
                axis.plot(x[width - 1 :], np.convolve(y, np.ones(width) / width, "valid"), label=name, lw=1.3)
        axis.set_title(title, fontsize=9)
        axis.grid(color=GRID, lw=0.5)
        axis.tick_params(labelsize=8)
        open_corner(axis)
    handles = {label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncol=len(handles), frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    return write(folder, figure, "curves")


def pyplot() -> Any:
    """matplotlib's pyplot, drawing to files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


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

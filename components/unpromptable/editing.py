"""Build the surrogate of every forget image, and record how far each is from its target."""
from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import config, data, plugins

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scene:
    """What an editor may look at. Arrays are uint8 (N, H, W, 3)."""

    targets: tuple[str, ...]
    forget: np.ndarray
    remember: np.ndarray
    pretrained: Path  # folder of the base model, for editors that use it
    family: str
    seed: int

    def model(self) -> Any:
        """The base model, loaded when an editor asks for it."""
        return plugins.module("model", self.family).Model.load(self.pretrained)


def edit(cell: config.Cell, experiment: config.Experiment, data_path: str, pretrained: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The surrogates of a cell, one per target in order, and their manifest with distances to the targets."""
    arrays, manifest = data.load(data_path)
    forget = arrays["forget"][[manifest["forget_names"].index(t) for t in cell.forget]]
    scene = Scene(cell.forget, forget, data.remember(arrays, manifest), Path(pretrained), experiment.model.name, cell.training.seed)
    images = plugins.make("editor", cell.editor.name, cell.editor.settings).edit(scene)
    if images.shape != forget.shape or images.dtype != np.uint8:
        raise ValueError(f"editor {cell.editor.name}: gave {images.dtype} {images.shape} for targets of uint8 {forget.shape}")
    return {"images": images}, {"targets": list(cell.forget), "editor": config.to_json(cell)["editor"], "distances": distances(cell, experiment, forget, images)}


def distances(cell: config.Cell, experiment: config.Experiment, forget: np.ndarray, surrogates: np.ndarray) -> list[dict[str, Any]]:
    """SSCD, LPIPS and rms (0-255 scale) of each surrogate to its target, and the share of pixels changed."""
    from . import networks

    eyes = networks.load(experiment.networks.name, experiment.networks.folder or None)
    similarity = (eyes.descriptor(forget) * eyes.descriptor(surrogates)).sum(1).tolist()
    perceptual = eyes.perceptual(forget, surrogates).tolist()
    change = surrogates.astype(float) - forget.astype(float)
    rows = []
    for i, target in enumerate(cell.forget):
        rows.append({"target": target, "sscd": similarity[i], "lpips": perceptual[i], "rms": float(np.sqrt((change[i] ** 2).mean())), "changed": float((np.abs(change[i]).max(-1) > 8).mean())})
        if similarity[i] > 0.75:
            log.warning("%s: the surrogate of %s is a near copy (SSCD %.2f); there is little to forget towards", cell.name, target, similarity[i])
    return rows

"""Build the surrogate of every forget image, and record how far each is from its target."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import data
from unpromptable.models import device
from unpromptable.planning.experiment import Cell, Experiment, to_json
from unpromptable.storage.once import CellFailed

from . import painting

log = logging.getLogger(__name__)


def _silent(done: int, total: int, text: str = "") -> None:
    """A progress that nobody watches."""


@dataclass(frozen=True)
class EditContext:
    """What an editor may look at. Arrays are uint8 (N, H, W, 3); `remember` is read when it is indexed."""

    targets: tuple[str, ...]
    forget: np.ndarray
    remember: Any
    pretrained: Path  # folder of the base model, for editors that use it
    experiment: Experiment
    seed: int
    progress: Callable[..., None] = _silent  # progress(done, total, text), shown as the step's bar
    among: tuple[str, ...] = ()  # the targets of all cells of the experiment

    def model(self) -> Any:
        """The base model, loaded when an editor asks for it."""
        return self.experiment.family.model.load(self.pretrained, device.best(), self.experiment)


def edit(
    cells: list[Cell],
    experiment: Experiment,
    data_path: Path,
    pretrained: Path,
    progress: Callable[..., None] = _silent,
) -> list[tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """Surrogates and manifest of each cell, one surrogate per target in order.

    cells: one, or several that differ only in the setting that their editor builds `together`.
    Raises CellFailed where the editor's answer has not the shape of the targets.
    """
    first = cells[0]
    arrays, manifest = data.load(data_path)
    forget = arrays["forget"][[manifest["forget_names"].index(t) for t in first.forget]]
    remember, among = data.remember(arrays, manifest), tuple(manifest["forget_names"])
    seed = first.training.seed
    scene = EditContext(first.forget, forget, remember, pretrained, experiment, seed, progress, among)
    began = time.monotonic()
    many = _edited(cells, scene)
    seconds = (time.monotonic() - began) / (len(cells) * len(forget))
    check = SurrogateCheck(experiment, forget, remember)
    shared = {"targets": list(first.forget), "seed": seed, "seconds": round(seconds, 3)}
    found = []
    for cell, images in zip(cells, many):
        distances = check.distances(first.forget, images, cell.editor.made.redraws)
        told = {**shared, "editor": to_json(cell)["editor"], "distances": distances}
        found.append(({"images": images, **_nearest(cell.editor.made, scene)}, told))
    return found


def _nearest(editor: Any, scene: EditContext) -> dict[str, np.ndarray]:
    """The neighbours of an editor that leads to them, as an array of the artifact."""
    return {"neighbours": editor.nearest(scene)} if editor.neighbours else {}


def _edited(cells: list[Cell], scene: EditContext) -> list[np.ndarray]:
    """What the editor makes for each cell. Raises CellFailed where it is no picture of each target."""
    editors = [c.editor.made for c in cells]
    if len(cells) > 1:
        many = editors[0].edit_many(scene, [asdict(e)[e.together] for e in editors])
    else:
        many = [editors[0].edit(scene)]
    many = list(many) if isinstance(many, (list, tuple, np.ndarray)) else [many]
    shape = scene.forget.shape
    wrong = [told for i in many if (told := _wrong(i, shape))]
    if wrong or len(many) != len(cells):
        raise CellFailed(
            f"editor {cells[0].editor.name}: gave {len(many)} answers{''.join(f', {w}' for w in wrong)} for"
            f" {len(cells)} settings and targets of uint8 {shape}"
        )
    return many


def _wrong(answer: Any, shape: tuple[int, ...]) -> str:
    """What an editor gave in place of a picture of each target; empty where it gave these."""
    if not isinstance(answer, np.ndarray):
        return f"a {type(answer).__name__}"
    return "" if answer.shape == shape and answer.dtype == np.uint8 else f"{answer.dtype} {answer.shape}"


class SurrogateCheck:
    """Compares surrogates with their targets (F, H, W, 3), by the experiment's metric networks and bounds."""

    def __init__(self, experiment: Experiment, forget: np.ndarray, remember: Any):
        from unpromptable.scoring import metric_networks

        self.networks = metric_networks.of(experiment.networks)
        self.bounds, self.forget = experiment.quality, forget
        self.own = self.networks.descriptor(forget)
        others = remember[
            np.random.default_rng(0).choice(
                len(remember), min(self.bounds.others, len(remember)), replace=False
            )
        ]
        self.others_sscd = (self.own @ self.networks.descriptor(others).T).numpy()  # (F, others)
        self.others_lpips = np.stack(
            [self.networks.perceptual(np.repeat(f[None], len(others), 0), others).numpy() for f in forget]
        )

    def distances(
        self, targets: tuple[str, ...], surrogates: np.ndarray, redraws: bool = False
    ) -> list[dict[str, Any]]:
        """Per target: SSCD, LPIPS and rms (0-255 scale) to it, the share of pixels changed, and a verdict.

        verdict: fine | copy | unrelated | redrawn, with `note` saying it in words; copies and unrelated ones
        are logged.
        """
        sscd, lpips = (
            (self.own * self.networks.descriptor(surrogates)).sum(1).tolist(),
            self.networks.perceptual(self.forget, surrogates).tolist(),
        )
        change = surrogates.astype(float) - self.forget
        found = []
        for i, target in enumerate(targets):
            changed = painting.changed(surrogates[i], self.forget[i])
            closer = min(
                float((self.others_sscd[i] > sscd[i]).mean()), float((self.others_lpips[i] < lpips[i]).mean())
            )
            verdict, note = self._verdict(sscd[i], changed, closer, redraws)
            if verdict in ("copy", "unrelated"):
                log.warning("surrogate of %s: %s", target, note)
            found.append(
                {
                    "target": target,
                    "sscd": sscd[i],
                    "lpips": lpips[i],
                    "rms": float(np.sqrt((change[i] ** 2).mean())),
                    "changed": changed,
                    "closer": closer,
                    "verdict": verdict,
                    "note": note,
                }
            )
        return found

    def _verdict(self, sscd: float, changed: float, closer: float, redraws: bool) -> tuple[str, str]:
        if redraws:
            return (
                "redrawn",
                "a random remember image, drawn anew at every update: unrelated to the target by intention",
            )
        if sscd > self.bounds.copy:
            return (
                "copy",
                (
                    f"a near copy of the target (SSCD {sscd:.2f}, above {self.bounds.copy}): there is little"
                    " to forget towards; edit it more"
                ),
            )
        if changed > self.bounds.changed and closer >= self.bounds.unrelated:
            return (
                "unrelated",
                (
                    f"no closer to the target than a random image ({closer:.0%} of the remember images are"
                    " closer): more than the target will change; edit it less"
                ),
            )
        return "fine", ""

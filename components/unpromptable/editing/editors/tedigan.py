"""TediGAN: the target inverted into StyleGAN's codes and moved towards a caption (Tables I, II and V)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from unpromptable import protocols

# edits optimised at once, always so many: hundreds of steps amplify the last bit, in which other batch sizes
# differ
BATCH = 4


@dataclass(frozen=True)
class Editor(protocols.Editor):
    """Its defaults are the reference code's, for the published networks; a world may have others for its
    own.
    """

    # all its values are asked for at once, so that few batches are filled up
    together: ClassVar[str] = "clip_weight"
    small: ClassVar[Mapping[str, Any]] = {"folder": "miniature", "steps": 2}
    prompt: str = "a person with white hair"  # the paper says "fixed prompts" and gives none
    clip_weight: float = 2.0  # of 1 - cosine with the caption; Table II has 0.5 to 32
    steps: int = 200
    lr: float = 0.01  # Adam's
    pixel: float = 1.0  # of the mean squared pixel difference, in [-1, 1]
    # of the mean squared feature difference; tied to the network that makes the features
    perceptual: float = 5e-5
    latent: float = 2.0  # of the mean squared difference between the code and the encoder's code of the edit
    # deviation of noise on the first code, with which every `seed` gives another edit; the reference has none
    spread: float = 0.0
    seed: int = 0
    folder: str = ""  # miniature | a folder with the weights; empty fetches the published ones

    def __post_init__(self):
        if not self.prompt.strip():
            raise ValueError(
                "tedigan.prompt is empty; say what the surrogate should show, such as 'a person with white"
                " hair'"
            )
        for name in ("clip_weight", "pixel", "perceptual", "latent", "spread"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(
                    f"tedigan.{name} is {getattr(self, name)}; it must be finite and not below 0"
                )
        if self.steps < 1 or not self.lr > 0:
            raise ValueError(
                f"tedigan: steps is {self.steps} and lr is {self.lr}; steps must be at least 1 and lr above 0"
            )

    def files(self, targets: tuple[str, ...], among: tuple[str, ...] = ()) -> list[Path]:
        """The networks of `folder`, whatever the targets."""
        from unpromptable.editing.tedigan.inversion import FOLDER

        folder = FOLDER if self.folder == "miniature" else Path(self.folder)
        return sorted(p for p in folder.rglob("*") if p.is_file()) if self.folder else []

    def edit(self, scene: protocols.Scene) -> np.ndarray:
        """The edited targets, uint8 (F, H, W, 3)."""
        return self.edit_many(scene, [self.clip_weight])[0]

    def edit_many(self, scene: protocols.Scene, values: Sequence[float]) -> list[np.ndarray]:
        """The edited targets at each caption weight of `values`."""
        import torch

        from unpromptable.editing.tedigan import inversion
        from unpromptable.models import device as devices

        networks = inversion.load(self.folder, device := devices.best())
        x, noise = self._pictures(scene, networks, device), self._noise(scene, networks, device)
        items = [(w, i) for w in values for i in range(len(x))]
        total = -(-len(items) // BATCH) * self.steps
        made = []
        for first in range(0, len(items), BATCH):
            part, before = items[first : first + BATCH], first // BATCH * self.steps
            show = lambda step, text: scene.progress(before + step, total, f"{len(part)} edits, {text}")
            made.append(self._edited(scene, part, networks, x, noise, show))
        return list(_levels(torch.cat(made)).reshape(len(values), *scene.forget.shape))

    def _edited(self, scene, part: list[tuple[float, int]], networks, x, noise, show):
        """The pictures of a part of the edits: caption weights and numbers of targets."""
        import torch

        from unpromptable.editing.tedigan import inversion
        from unpromptable.sampling import chains

        weights, which = map(list, zip(*chains.filled(part, BATCH)))
        names = tuple(scene.targets[i] for _, i in part)
        task = inversion.Task(names, x[which], torch.tensor(weights, device=x.device), self.prompt)
        with torch.no_grad():
            z = networks.encoder(task.x) + self.spread * noise[which]
        balance = inversion.Balance(self.pixel, self.perceptual, self.latent)
        objective = inversion.Objective(networks, task, balance)
        return inversion.invert(objective, z, self.steps, self.lr, show)

    def _pictures(self, scene, networks, device: str):
        """The targets in [-1, 1], (F, 3, R, R)."""
        from unpromptable import equations

        size, drawn = networks.generator.shape.resolution, scene.forget.shape[1:3]
        if drawn != (size, size):
            raise ValueError(
                f"tedigan: the targets are {drawn[1]} x {drawn[0]} pixels, but this generator makes {size} x"
                f" {size}; name a generator of another size in editor.folder, or choose the editor sdedit or"
                " paint"
            )
        return equations.signed(equations.planes(scene.forget).to(device))

    def _noise(self, scene, networks, device: str):
        """What `spread` adds to the first codes, (F, L, W)."""
        import torch

        size = networks.generator.shape.layers, networks.generator.shape.code
        rngs = [np.random.default_rng((scene.seed, i, self.seed)) for i in range(len(scene.forget))]
        noise = [rng.normal(size=size) for rng in rngs]
        return torch.from_numpy(np.stack(noise)).to(device).float()


def _levels(x) -> np.ndarray:
    """[-1, 1] to uint8 (B, H, W, 3), halves rounded up as in the reference."""
    return x.add(1).mul(127.5).add(0.5).clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()

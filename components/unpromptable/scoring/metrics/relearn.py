"""Relearning: how many updates on a few other pictures of the person bring the target back; what is truly
gone takes long.

Beyond the paper. The updates are plain training (Eq. 2) with the cell's optimiser.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from unpromptable import equations, pictures, protocols
from unpromptable.sampling import chains
from unpromptable.scoring.estimates import Estimate, of_one, over_targets
from unpromptable.scoring.verdict import THRESHOLD


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """Updates until the denoised target is again like the base model's, looked at every few; the base model
    itself needs 0.
    """

    small: ClassVar[Mapping[str, Any]] = {"updates": 2, "every": 1, "draws": 2}
    # of other pictures of the person; empty takes the real images whose names begin like the target's, 0004-0
    # for 0004-3
    folder: str = ""
    updates: int = 100  # at most
    every: int = 20  # updates between two looks
    draws: int = 8  # noise draws per look
    lr: float = 0.0  # 0 is the cell's
    seed: int = 0

    def __post_init__(self):
        if min(self.updates, self.every, self.draws) < 1 or self.updates % self.every or self.lr < 0:
            raise ValueError(
                f"relearn: updates {self.updates}, every {self.every}, draws {self.draws}, lr {self.lr};"
                " every must divide updates, and none may be below 1 but lr, which may be 0"
            )

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """relearn: updates until SSCD is 0.4 or more, `updates` where it never is; relearn_sscd: the SSCD it
        ends with; relearn_least: the updates of the target that comes back first.
        """
        found = [self._target(evidence, networks, t) for t in evidence.forget]
        steps, ends = np.array(found).T[..., None]
        return {
            "relearn": over_targets(list(steps)),
            "relearn_sscd": over_targets(list(ends)),
            "relearn_least": of_one(list(steps), least=True),
        }

    def files(self) -> list[Path]:
        """The pictures of `folder`, links out of it followed, as `pictures.links` may ask. Raises where it
        holds none.
        """
        return list(pictures.find(self.folder, True, "relearn.folder").files) if self.folder else []

    def _target(self, evidence, networks, target: str) -> tuple[float, float]:
        model, wanted = (
            evidence.model("after"),
            networks.descriptor(evidence.injected_before[target][: self.draws]),
        )
        pictures, settings = self._pictures(evidence, target), evidence.training
        optimizer = torch.optim.AdamW(
            model.trained(),
            lr=self.lr or settings.lr,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            eps=settings.eps,
        )
        for done in range(0, self.updates + 1):
            if done % self.every == 0:
                test = evidence.injection
                seen = chains.inject(
                    model,
                    evidence.forget[target],
                    test.t,
                    len(wanted),
                    test.seed,
                    test.siss_compat,
                    stride=test.stride,
                )
                alike = float((networks.descriptor(seen) * wanted).sum(1).mean())
                if alike >= THRESHOLD:
                    break
            if done < self.updates:
                self._update(model, optimizer, pictures, done, settings)
        return float(done), alike

    def _update(self, model, optimizer, pictures: np.ndarray, step: int, settings) -> None:
        g = chains.generator(self.seed, step, 3)
        x0 = model.encode(pictures[torch.randint(len(pictures), (settings.batch,), generator=g).numpy()])
        _, last = equations.own_steps(0, settings.t_max, model.timesteps)
        t = model.times(torch.randint(last + 1, (settings.batch,), generator=g).to(model.device))
        eps = torch.randn(x0.shape, generator=g).to(x0)
        output = model.predict(equations.noisy(x0, eps, *model.schedule(t)), t)
        equations.squared_error(output, model.target(x0, eps, t)).mean().backward()
        if settings.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(model.trained(), settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _pictures(self, evidence, target: str) -> np.ndarray:
        """Other pictures of the person, (K, H, W, 3). Raises ValueError where there are none."""
        if self.folder:
            how, size = evidence.pictures, evidence.real.shape[1]
            return pictures.read_folder(
                self.folder, size, how.links, how.background, "relearn.folder", how.max_pixels
            )[0]
        person = target.rpartition("-")[0]
        mine = [
            i
            for i, n in enumerate(evidence.names)
            if person and n.rpartition("-")[0] == person and n not in evidence.forget
        ]
        if not mine:
            raise ValueError(
                f"relearn: no other picture of {target} among the real images; name a folder of some as"
                " relearn.folder"
            )
        return evidence.real[mine]

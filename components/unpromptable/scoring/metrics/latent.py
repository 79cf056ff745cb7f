"""Latent: does any seed still draw the target? The similarity of the best that is found by inverting it, held
to other pictures, since a diffusion model gives nearly any back.

Beyond the paper; after Memories of Forgotten Concepts (Rusanovsky et al. 2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from unpromptable import protocols
from unpromptable.planning.settings import Training
from unpromptable.sampling import inversion
from unpromptable.scoring import held_out
from unpromptable.scoring.estimates import Estimate, estimate, over_targets
from unpromptable.scoring.evidence import identity


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """DDIM both ways, and steps down the gradient of the picture's error that change the seed.

    A target that comes back as other pictures do, from a seed as likely as theirs, tells nothing; one from a
    likelier seed is still there. Needs no more than predictions, so any family will do.
    """

    small: ClassVar[Mapping[str, Any]] = {"steps": 3, "refine": 1, "others": 2}
    # of other pictures, that the base model never saw; empty takes the miniature's strangers
    folder: str = ""
    others: int = 4  # how many of them
    steps: int = 20  # of the chain, each way
    rounds: int = 2  # of the fixed point in each step up
    refine: int = 10  # steps down the gradient; each costs three chains
    rate: float = 0.02  # of these steps, by Adam, where a seed has deviation 1

    def __post_init__(self):
        if min(self.others, self.rounds) < 1 or self.steps < 2 or self.refine < 0 or self.rate <= 0:
            raise ValueError(
                f"latent: others {self.others}, rounds {self.rounds} (1 or more), steps {self.steps} (2 or"
                f" more), refine {self.refine} (0 or more), rate {self.rate} (above 0)"
            )

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """latent: SSCD of the best that is found to the target, after; latent_before: of the base model;
        latent_other: of other pictures to themselves, after. latent_sigmas: how far |x_T|^2 of that seed lies
        above a normal's, in standard deviations of chi^2; latent_sigmas_other: of the others' seeds.
        """
        others = held_out.take(evidence, self.folder, self.others, "latent.folder")
        targets, asked = np.stack(list(evidence.forget.values())), [vars(self), identity(networks)]
        of_base = lambda: self._found(evidence.model("before"), targets, networks)[0][:, None].tolist()
        before = evidence.shared("latent", asked, lambda: dict(zip(evidence.forget, of_base())))
        model = evidence.model("after")
        (alike, sigmas), (like_others, beyond_others) = (
            self._found(model, shown, networks) for shown in (targets, others)
        )
        each = lambda values: over_targets([np.array([v]) for v in values])
        return {
            "latent": each(alike),
            "latent_before": over_targets([np.array(before[t]) for t in evidence.forget]),
            "latent_other": estimate(like_others),
            "latent_sigmas": each(sigmas),
            "latent_sigmas_other": estimate(beyond_others),
        }

    def files(self) -> list[Path]:
        """The pictures of `folder`. Raises where it holds none."""
        return held_out.files(self.folder, "latent.folder")

    def taught(self, training: Training) -> int:
        """One picture, and one call of the chain, at a time."""
        return 1

    def _found(self, model, shown: np.ndarray, networks) -> tuple[np.ndarray, np.ndarray]:
        """Of each picture the similarity (N,) of the best that is drawn of it, and how far its seed lies from
        a normal's (N,).
        """
        for weight in model.trained():
            weight.requires_grad_(False)
        found = [self._best(model, one[None], networks) for one in shown]
        return np.array([alike for alike, _ in found]), np.array([sigmas for _, sigmas in found])

    def _best(self, model, shown: np.ndarray, networks) -> tuple[float, float]:
        """`_found` of one picture (1, H, W, 3)."""
        wanted, x0 = networks.descriptor(shown), model.encode(shown).clone()  # a copy that has gradients
        grid = inversion.times(model, self.steps)
        with torch.no_grad():
            seed = inversion.invert(model, x0, grid, self.rounds).requires_grad_(True)
        optimizer = torch.optim.Adam([seed], lr=self.rate)
        looks = []
        for _ in range(self.refine + 1):
            made = inversion.sample(model, seed, grid)
            alike = (networks.descriptor(model.decode(made.detach())) * wanted).sum()
            looks.append((float(alike), float(beyond(seed.detach())[0])))
            (seed.grad,) = torch.autograd.grad((made - x0).square().sum(), seed)
            optimizer.step()
        return max(looks)


def beyond(seed: Tensor) -> np.ndarray:
    """How far |x|^2 of seeds (N, C, h, w) lies above that of a normal's, in standard deviations of chi^2."""
    number = seed[0].numel()
    return ((seed.double().square().flatten(1).sum(1) - number) / (2 * number) ** 0.5).cpu().numpy()

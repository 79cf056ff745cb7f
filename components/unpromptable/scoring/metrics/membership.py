"""Membership: does the model treat the target as a picture it was trained on? 1 is plainly a member, 0.5 like
one never seen, and far below 0.5 forgotten so hard that it stands out again.

Beyond the paper. Two attacks: the error of the network's output, and SecMI's (Duan et al. 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from unpromptable import data, equations, protocols
from unpromptable.sampling import chains, inversion
from unpromptable.scoring import held_out
from unpromptable.scoring.estimates import Estimate, over_targets, share

BATCH = 32  # pictures in one call of the network
ATTACKS = {"membership": "loss", "membership_secmi": "secmi"}


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """The share of pictures never seen that the model knows worse than the target (AUC).

    Some pictures are easier than others whether a model saw them or not, so one target's number is to be
    compared with its own before, and only over many targets is 0.5 the number of such a model. Needs no more
    than predictions, so any family will do.
    """

    small: ClassVar[Mapping[str, Any]] = {"times": (20, 30), "draws": 1, "others": 3, "secmi": 2, "ahead": 1}
    # of pictures that the base model never saw; empty takes the miniature's strangers
    folder: str = ""
    others: int = 100  # how many of them
    times: tuple[int, ...] = (100, 200, 300)  # of the error, in thousandths of the process
    draws: int = 8  # noise draws per time, the same for every picture
    secmi: int = 100  # SecMI's time, in thousandths
    ahead: int = 10  # SecMI's step, in thousandths
    seed: int = 0

    def __post_init__(self):
        if not self.times or min(self.times) < 1 or max(self.times) > 999 or self.draws < 1:
            raise ValueError(
                f"membership: times are {self.times} (some in 1..999), draws {self.draws} (at least 1)"
            )
        if self.others < 2:
            raise ValueError(f"membership.others is {self.others}; compare with 2 pictures or more")
        if self.ahead < 1 or self.secmi < self.ahead or self.secmi + self.ahead > 999:
            raise ValueError(
                f"membership: secmi {self.secmi}, ahead {self.ahead}; ahead is 1 or more, and there is room"
                " for a step of it below secmi and above"
            )
        if self.secmi % self.ahead:
            raise ValueError(
                f"membership: ahead is {self.ahead}, and steps of it do not reach secmi {self.secmi}; set a"
                " divisor of it"
            )

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """membership: by the error, after; membership_secmi: by SecMI; _before: the base model's. The
        interval is over the pictures never seen, or over targets.
        """
        others = held_out.take(evidence, self.folder, self.others, "membership.folder")
        asked = [vars(self), data.sha256(others)]
        ask = lambda side: self._known(evidence.model(side), evidence.forget, others)
        before, after = evidence.shared("membership", asked, lambda: ask("before")), ask("after")
        sides = {"": after, "_before": before}
        over = lambda known: share(sum(known[0]), len(known[0])) if len(known) == 1 else over_targets(known)
        return {
            f"{name}{end}": over([np.array(side[f"{attack}/{t}"]) for t in evidence.forget])
            for name, attack in ATTACKS.items()
            for end, side in sides.items()
        }

    def files(self) -> list[Path]:
        """The pictures of `folder`. Raises where it holds none."""
        return held_out.files(self.folder, "membership.folder")

    def _known(self, model, forget: dict[str, np.ndarray], others: np.ndarray) -> dict[str, list[float]]:
        """By attack and target, whether it is known better than each of the others."""
        shown = np.concatenate([np.stack(list(forget.values())), others])
        with torch.no_grad():
            parts = [model.encode(shown[i : i + BATCH]) for i in range(0, len(shown), BATCH)]
            loss = np.concatenate([self._errors(model, x0) for x0 in parts], 1)
            step = np.concatenate([self._secmi(model, x0) for x0 in parts])
        shares = loss / loss[:, len(forget) :].mean(1, keepdims=True)  # so that no time outweighs the others
        scores = {"loss": shares.mean(0), "secmi": step}
        return {
            f"{attack}/{target}": better(errors[k], errors[len(forget) :]).tolist()
            for attack, errors in scores.items()
            for k, target in enumerate(forget)
        }

    def _errors(self, model, x0: Tensor) -> np.ndarray:
        """The mean error of what the network outputs at x_t of pictures, (times, B)."""
        found = np.zeros((len(self.times), len(x0)))
        for row, time in enumerate(self.times):
            t = inversion.at(model, time, len(x0))
            for k in range(self.draws):
                eps = chains.draw([chains.generator(self.seed, k, time)], model.noise_shape()).to(x0)
                eps = eps.expand_as(x0)
                output = model.predict(equations.noisy(x0, eps, *model.schedule(t)), t)
                error = equations.squared_error(output, model.target(x0, eps, t))
                found[row] += error.double().cpu().numpy() / self.draws
        return found

    def _secmi(self, model, x0: Tensor) -> np.ndarray:
        """SecMI's t-error (B,): to its time by deterministic steps, one on, and how far off one back is."""
        grid = [inversion.at(model, time, len(x0)) for time in range(self.ahead, self.secmi + 1, self.ahead)]
        x = x0
        for t, to in zip([inversion.first(model, len(x0)), *grid], grid):
            x = inversion.step(model, x, t, to)
        on = inversion.at(model, self.secmi + self.ahead, len(x0))
        if bool((on == grid[-1]).any()):
            raise ValueError(
                f"membership.ahead is {self.ahead}, less than a step of a model of {model.timesteps}"
            )
        back = inversion.step(model, inversion.step(model, x, grid[-1], on), on, grid[-1])
        return equations.squared_error(back, x).double().cpu().numpy()


def better(own: float, others: np.ndarray) -> np.ndarray:
    """For each other error (N,) 1 where it is larger than one's own, 1/2 where it is the same, else 0; the
    mean is the AUC.
    """
    return (others > own) + 0.5 * (others == own)

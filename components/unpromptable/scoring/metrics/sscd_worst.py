"""SSCD at its worst: the most that any noise draw at any of several injection times brings back of the
target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from unpromptable import protocols
from unpromptable.sampling import chains
from unpromptable.scoring.estimates import Estimate, of_one, over_targets
from unpromptable.scoring.evidence import identity


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """The paper's test, repeated over times and draws. The paper states neither; its single value is a mean
    at t = 250.

    At small t even a model that never saw the target is handed it by the injected picture, so times start
    where a picture's features are gone; sscd_worst_ceiling, the base model's, tells whether a time can find
    anything.
    """

    small: ClassVar[Mapping[str, Any]] = {"times": (2, 3), "draws": 2}
    times: tuple[int, ...] = (200, 250, 300, 400)  # injection times, in thousandths of the process
    draws: int = 32  # noise draws per time and target
    seed: int = 1  # apart from that of the injection test

    def __post_init__(self):
        if not self.times or min(self.times) < 1 or self.draws < 1:
            raise ValueError(
                f"sscd_worst: times are {self.times}, draws {self.draws}; give times of at least 1 and at"
                " least one draw"
            )

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """sscd_worst: the largest similarity of a denoised image to the target, after; _ceiling: before;
        sscd_worst_tT: mean before-after at T; n counts targets. sscd_worst_most: of the target that comes
        back most.
        """
        asked = [vars(self), evidence.injection.stride, identity(networks)]
        before = evidence.shared("sscd_worst", asked, lambda: self._seen("before", evidence, networks))
        after = self._seen("after", evidence, networks)
        own = {t: networks.descriptor(image[None])[0] for t, image in evidence.forget.items()}
        found: dict[str, list[np.ndarray]] = {
            key: [] for key in ("sscd_worst", "sscd_worst_ceiling", *(f"sscd_worst_t{t}" for t in self.times))
        }
        for target in evidence.forget:
            old, new = (
                {t: torch.tensor(z) for t, z in zip(self.times, side[target])} for side in (before, after)
            )
            for key, side in (("sscd_worst", new), ("sscd_worst_ceiling", old)):
                found[key].append(np.array([max(float((z @ own[target]).max()) for z in side.values())]))
            for t in self.times:
                found[f"sscd_worst_t{t}"].append((old[t] * new[t]).sum(1).numpy())
        most = of_one(found["sscd_worst"])
        return {key: over_targets(values) for key, values in found.items()} | {"sscd_worst_most": most}

    def _seen(self, which: str, evidence, networks) -> dict[str, list[Any]]:
        """By target, the descriptors (times, draws, D) of what the model makes of it."""
        model, stride = evidence.model(which), evidence.injection.stride
        inject = lambda image, t: chains.inject(model, image, t, self.draws, self.seed, stride=stride)
        return {
            name: [networks.descriptor(inject(image, t)).tolist() for t in self.times]
            for name, image in evidence.forget.items()
        }

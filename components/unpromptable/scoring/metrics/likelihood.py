"""Likelihood: how probable the target itself is under the model, in bits per dimension; larger is less
probable.

Beyond the paper; the convention is that of the SISS code (no dequantisation, + 7 bits), its solver RK45 at
1e-5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from unpromptable import protocols
from unpromptable.sampling import chains, likelihood_ode
from unpromptable.scoring.estimates import Estimate, of_one, over_targets


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """The probability-flow ODE of each target, its divergence by Hutchinson's probes; the interval is over
    targets, or over one target's probes.
    """

    small: ClassVar[Mapping[str, Any]] = {"probes": 2, "tolerance": 0.05}
    probes: int = 8  # Rademacher probes per target, in one batch
    tolerance: float = 1e-5  # of the solver, relative and absolute
    seed: int = 0

    def __post_init__(self):
        if self.probes < 1 or not 0 < self.tolerance < 1:
            raise ValueError(
                f"likelihood: probes are {self.probes} (at least 1), tolerance {self.tolerance} (strictly"
                " between 0 and 1)"
            )

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """likelihood: the targets after; likelihood_before: before; likelihood_change: after minus before
        with the same probes, likelihood_least: that of the target whose interval reaches lowest.
        """
        before = evidence.shared(
            "likelihood", vars(self), lambda: self._bits(evidence.model("before"), evidence.forget)
        )
        after = self._bits(evidence.model("after"), evidence.forget)
        a, b = ([np.array(side[t]) for t in evidence.forget] for side in (after, before))
        change = [x - y for x, y in zip(a, b)]
        return {
            "likelihood": over_targets(a),
            "likelihood_before": over_targets(b),
            "likelihood_change": over_targets(change),
            "likelihood_least": of_one(change, least=True),
        }

    def _bits(self, model, forget: dict[str, np.ndarray]) -> dict[str, list[float]]:
        found = {}
        for target, image in forget.items():
            x0 = model.encode(image[None])[0]
            nats = likelihood_ode.log_likelihood(
                model, x0, [chains.generator(self.seed, k, 2) for k in range(self.probes)], self.tolerance
            )
            found[target] = likelihood_ode.bits(nats, x0.numel()).tolist()
        return found

"""SSCD: is the target gone? Similarity of the denoised target before and after (Fig. 6); below 0.4 is
forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpromptable import protocols
from unpromptable.scoring.estimates import Estimate, estimate, of_one, over_targets


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """Dot products of unit descriptors: means over noise draws, and the interval over targets, or over one
    target's draws. Several targets of a cell are of one training: their interval says how far the mean of
    targets may be off, and nothing of another training's; that is what lines over targets and seeds are for.
    """

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """sscd: before against after, the paper's; sscd_most: of the target whose interval reaches highest,
        sscd_highest: whose mean is. The ceiling is the target against before; then after against target and
        surrogate.
        """
        pairs = {"sscd": [], "sscd_ceiling": [], "sscd_target": [], "sscd_surrogate": []}
        for target, image in evidence.forget.items():
            before, after = (
                networks.descriptor(side[target])
                for side in (evidence.injected_before, evidence.injected_after)
            )
            own, other = networks.descriptor(np.stack([image, evidence.surrogates[target]]))
            for key, values in zip(
                pairs, ((before * after).sum(1), before @ own, after @ own, after @ other)
            ):
                pairs[key].append(values.numpy())
        found = {key: over_targets(values) for key, values in pairs.items()}
        highest = max(map(estimate, pairs["sscd"]), key=lambda e: e.mean)
        return {**found, "sscd_most": of_one(pairs["sscd"]), "sscd_highest": highest}

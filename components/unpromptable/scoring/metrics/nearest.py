"""Nearest: does any of the model's ordinary samples show the target? Beyond the paper, whose SSCD starts from
the target itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpromptable import protocols
from unpromptable.scoring.estimates import Estimate, of_one, over_targets

COPY = 0.75  # similarity from which on nine in ten pairs are copies (SSCD, Pizzi et al. 2022)


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """The descriptor similarity of the closest of all samples to each target; a maximum, so compare equal
    numbers of samples alone. n counts targets.
    """

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """nearest: after; nearest_before: the base model's; nearest_real: of the remember images, what an
        unrelated picture can reach. Then of one target: nearest_most, and nearest_excess, the most by which a
        sample is nearer than any of these and than COPY.
        """
        targets = networks.descriptor(np.stack(list(evidence.forget.values()))).numpy()
        keep, rows = evidence.to_keep
        after, before = (evidence.embeddings(side, networks) for side in ("after", "before"))
        seen = {
            "nearest": after,
            "nearest_before": before,
            "nearest_real": evidence.embeddings(keep, networks)[rows],
        }
        near = {key: (z @ targets.T).max(0)[:, None] for key, z in seen.items()}
        found = {key: over_targets(list(values)) for key, values in near.items()}
        excess = of_one(list(near["nearest"] - near["nearest_real"].clip(COPY)))
        return {**found, "nearest_most": of_one(list(near["nearest"])), "nearest_excess": excess}

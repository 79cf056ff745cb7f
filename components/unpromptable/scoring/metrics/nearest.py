"""Nearest: does any of the model's ordinary samples show the target? Beyond the paper, whose SSCD starts from
the target itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpromptable import protocols
from unpromptable.scoring.estimates import Estimate, over_targets


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """The descriptor similarity of the closest of all samples to each target; a maximum, so compare equal
    numbers of samples alone. n counts targets.
    """

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """nearest: after; nearest_before: the base model's; nearest_real: of the remember images, what an
        unrelated picture can reach.
        """
        targets = networks.descriptor(np.stack(list(evidence.forget.values()))).numpy()
        after, before, real = (evidence.embeddings(side, networks) for side in ("after", "before", "real"))
        others = real[~np.isin(evidence.names, list(evidence.forget))] if evidence.names else real
        seen = {"nearest": after, "nearest_before": before, "nearest_real": others}
        return {key: over_targets(list((z @ targets.T).max(0)[:, None])) for key, z in seen.items()}

"""LPIPS of the images before and after from the same seed: how much unrelated outputs changed. Lower is
better.
"""

from __future__ import annotations

from dataclasses import dataclass

from unpromptable import protocols
from unpromptable.scoring.estimates import Estimate, estimate


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """Perceptual distance over all pairs."""

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """The mean over pairs by seed."""
        return {"lpips": estimate(networks.perceptual(evidence.before, evidence.after).numpy())}

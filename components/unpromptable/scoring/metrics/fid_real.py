"""FID_real: the Frechet distance between the outputs after and real images. Lower is better."""

from __future__ import annotations

from dataclasses import dataclass

from unpromptable import protocols
from unpromptable.scoring import frechet
from unpromptable.scoring.estimates import Estimate


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """Against every real image of the world; n is the number of outputs. The base model's own distance is the
    floor.
    """

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """The distance of the outputs after, and `fid_real_floor`, that of the outputs before."""
        real = evidence.features("real", networks)
        sides = {"fid_real": "after", "fid_real_floor": "before"}
        return {
            key: Estimate(
                *frechet.interval(evidence.features(which, networks), real, paired=False),
                len(getattr(evidence, which)),
            )
            for key, which in sides.items()
        }

"""FID_real: the Frechet distance between the outputs after and real images. Lower is better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
        floor = evidence.once(
            "fid-real-floor",
            ("before", "real"),
            networks,
            lambda: np.array(self._against_real("before", evidence, networks)),
        )
        after = self._against_real("after", evidence, networks)
        return {
            "fid_real": Estimate(*after, len(evidence.after)),
            "fid_real_floor": Estimate(*floor.tolist(), len(evidence.before)),
        }

    def _against_real(self, which: str, evidence, networks) -> tuple[float, float, float]:
        features = (evidence.features(side, networks) for side in (which, "real"))
        return frechet.interval(*features, paired=False)

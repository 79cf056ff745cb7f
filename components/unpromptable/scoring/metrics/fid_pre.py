"""FID_pre: the Frechet distance between the outputs after and before. Lower is better."""

from __future__ import annotations

from dataclasses import dataclass

from unpromptable import protocols
from unpromptable.scoring import frechet
from unpromptable.scoring.estimates import Estimate


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """Both sides have the same n, or the distance means nothing; pairs by seed make it smaller than two fresh
    sets would.
    """

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """The distance with its jackknife interval. Raises ValueError where the numbers of images differ."""
        if len(evidence.before) != len(evidence.after):
            raise ValueError(
                f"fid_pre: {len(evidence.before)} images before, {len(evidence.after)} after; a Frechet"
                " distance between unequal n is not comparable"
            )
        before, after = (evidence.features(w, networks) for w in ("before", "after"))
        return {"fid_pre": Estimate(*frechet.interval(after, before, paired=True), len(after))}

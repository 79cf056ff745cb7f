"""What a prompted model kept: the prompt's seeds that were not wrong before, and other prompts, before and after."""
from __future__ import annotations

from dataclasses import dataclass

from .. import frechet
from ..scoring import Estimate, estimate
from .wrong import verdicts
from .ssim import similarity


@dataclass(frozen=True)
class Metric:
    """LPIPS and SSIM by pairs, and the Frechet distance between the two sets."""

    def measure(self, evidence, networks) -> dict[str, Estimate]:
        """lpips_, ssim_ and fid_ of `_kept` (this prompt's other seeds) and, where there are other prompts, of `_others`."""
        kept = ~verdicts(evidence.before, evidence, networks)[0]
        sides = {"kept": (evidence.before[kept], evidence.after[kept]), "others": (evidence.others_before, evidence.others_after)}
        found = {}
        for name, (before, after) in sides.items():
            if before is not None and len(before) > 1:
                found[f"lpips_{name}"] = estimate(networks.perceptual(before, after).numpy())
                found[f"ssim_{name}"] = estimate(similarity(before, after))
            if before is not None and len(before) > 3:  # its interval leaves images out
                features = [networks.features(x).double().numpy() for x in (after, before)]
                found[f"fid_{name}"] = Estimate(*frechet.interval(*features, paired=True), len(before))
        return found

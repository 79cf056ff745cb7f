"""What a prompted model kept: the prompt's seeds that were not wrong before, and other prompts, before and
after.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unpromptable import data, protocols
from unpromptable.scoring import frechet
from unpromptable.scoring.estimates import Estimate, estimate, part, worst

from .ssim import similarity
from .wrong import verdicts

PROMPTS = "lpips_prompts"  # the folder of each prompt's own value


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """LPIPS and SSIM by pairs, and the Frechet distance between the two sets."""

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """lpips_, ssim_ and fid_ of `_kept` (this prompt's other seeds) and, where there are other prompts,
        of `_others`, LPIPS also of each, lpips_prompt_most that of the prompt whose interval reaches highest.
        """
        kept = ~verdicts(evidence.before, evidence, networks)[0]
        sides = {
            "kept": (data.Rows(evidence.before, kept), data.Rows(evidence.after, kept)),
            "others": (evidence.others_before, evidence.others_after),
        }
        found = {}
        for name, (before, after) in sides.items():
            if before is not None and len(before) > 1:
                distances = networks.perceptual(before, after).numpy()
                found[f"lpips_{name}"] = estimate(distances)
                found |= each(distances, evidence.seeds, evidence.prompts) if name == "others" else {}
                found[f"ssim_{name}"] = estimate(similarity(before, after, networks.device))
            if before is not None and len(before) > 3:  # its interval leaves images out
                features = [networks.features(x).double().numpy() for x in (after, before)]
                found[f"fid_{name}"] = Estimate(*frechet.interval(*features, paired=True), len(before))
        return found


def each(distances: np.ndarray, seeds: tuple[int, ...], prompts: tuple[str, ...]) -> dict[str, Estimate]:
    """Each prompt's own mean of distances (n,), one per seed, since the mean over all hides a neighbour that
    is lost.
    """
    found = {}
    for k, prompt in enumerate(prompts):
        own = distances[np.asarray(seeds) % len(prompts) == k]  # as sampling asks them
        if len(own):
            found[part(PROMPTS, k, prompt)] = estimate(own)
    return found | {"lpips_prompt_most": worst(found.values())} if found else found

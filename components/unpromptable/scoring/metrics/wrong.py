"""How often the prompt gives the output to be forgotten, and how often the right one, before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from unpromptable import protocols
from unpromptable.scoring.estimates import Estimate, share


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """Networks that name what they see decide by name, others by the nearer descriptor.

    Wrong is what the forget images show, right what most remember images show; all else is neither.
    """

    alike: float = 0.5  # where descriptors decide: the least similarity to count as either

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """wrong, wrong_before, right, right_before: shares over the seeds with Wilson's 95 % interval."""
        found = {}
        for suffix, images in (("", evidence.after), ("_before", evidence.before)):
            wrong, right = verdicts(images, evidence, networks, self.alike)
            found |= {
                f"wrong{suffix}": share(int(wrong.sum()), len(wrong)),
                f"right{suffix}": share(int(right.sum()), len(right)),
            }
        return found


def verdicts(images: np.ndarray, evidence, networks, alike: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Which of the images (n, H, W, 3) are wrong and which are right, two boolean arrays (n,)."""
    forget = np.stack(list(evidence.forget.values()))
    if networks.classify is not None:
        named = networks.classify(images).numpy()
        usual = torch.mode(networks.classify(evidence.remember)).values.item()
        return np.isin(named, networks.classify(forget).numpy()), named == usual
    seen = networks.descriptor(images)
    near = [(seen @ networks.descriptor(x).T).max(1).values.numpy() for x in (forget, evidence.remember)]
    return (near[0] >= alike) & (near[0] > near[1]), (near[1] >= alike) & (near[1] >= near[0])

"""Lookalikes: does the model still make those pictures to keep that look most like a target?

Beyond the paper, which compares outputs of unrelated seeds alone. Each lookalike is put through the injection
test, before and after: below what counts as forgotten it was forgotten with the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from unpromptable import data, protocols
from unpromptable.sampling import chains
from unpromptable.scoring.estimates import Estimate, estimate, of_one, over_targets, part
from unpromptable.scoring.evidence import identity
from unpromptable.scoring.lookalikes import nearest


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """The `others` nearest pictures to keep of each target, by the descriptor; one that is near to several
    targets counts once. Needs the two models.
    """

    small: ClassVar[Mapping[str, Any]] = {"others": 2, "draws": 2}
    others: int = 4  # lookalikes of each target
    draws: int = 8  # noise draws for each

    def __post_init__(self):
        if min(self.others, self.draws) < 1:
            raise ValueError(f"lookalikes: others {self.others}, draws {self.draws}; neither may be below 1")

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """lookalikes: similarity of before and after, of the lookalike whose interval reaches lowest, n
        draws; lookalikes_mean: of all; lookalikes_sscd/N NAME: of each, target by target the nearest first.
        """
        chosen = self._chosen(evidence, networks)
        pictures = {name: data.sha256(image) for name, image in chosen.items()}
        asked = [vars(self), pictures, str(evidence.injection), identity(networks)]
        seen = lambda side: self._seen(evidence.model(side), chosen, evidence.injection, networks)
        before, after = evidence.shared("lookalikes", asked, lambda: seen("before")), seen("after")
        values = {n: (np.array(before[n]) * np.array(after[n])).sum(1) for n in chosen}
        found = {"lookalikes": of_one(list(values.values()), least=True)}
        found["lookalikes_mean"] = over_targets(list(values.values()))
        each = {part("lookalikes_sscd", k, name): estimate(of) for k, (name, of) in enumerate(values.items())}
        return found | each

    def _chosen(self, evidence, networks) -> dict[str, np.ndarray]:
        """The lookalikes (H, W, 3) by name. Raises ValueError where there is nothing to keep."""
        side, rows = evidence.to_keep
        if not len(rows):
            raise ValueError("lookalikes: there are no pictures to keep, and so none that look like a target")
        targets = networks.descriptor(np.stack(list(evidence.forget.values()))).numpy()
        near = nearest(evidence.embeddings(side, networks)[rows], targets, self.others)
        names = evidence.names if side == "real" else evidence.remember_names
        return {
            names[i] if names else f"picture {i}": getattr(evidence, side)[i] for i in rows[near].tolist()
        }

    def _seen(self, model, chosen: dict[str, np.ndarray], test, networks) -> dict[str, list[Any]]:
        """By lookalike, the descriptors (draws, D) of what the model makes of it."""
        test = replace(test, draws=self.draws)
        shown = lambda image: networks.descriptor(chains.injected(model, image, test))
        return {name: shown(image).tolist() for name, image in chosen.items()}

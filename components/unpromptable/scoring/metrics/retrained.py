"""Retrained: how far the model is from one that was trained again without the target, as a share of how far
the base model is; 0 is forgotten by definition.

Beyond the paper, which does not train again. Two trainings differ everywhere, so the share does not reach 0
where only the target was forgotten: `retrained_floor` says what is left then. Methods that lead the target
elsewhere go further than forgetting asks for: in the miniature world they end at 7 to 85.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from unpromptable import equations, protocols
from unpromptable.sampling import chains, inversion
from unpromptable.scoring.estimates import Estimate, estimate, over_targets
from unpromptable.scoring.evidence import identity
from unpromptable.storage import fingerprints

BATCH = 16  # x_t in one call of a network
REMEDY = "name a model that was trained again without the target"


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """Squared differences of what the networks output at x_t of the target, and of images to keep. Needs a
    model of the base's family, of the same prediction; any family will do.
    """

    small: ClassVar[Mapping[str, Any]] = {"times": (20, 30), "draws": 2, "elsewhere": 2}
    folder: str = ""  # of the model that was trained without the target, as `model.source` or `unlearned`
    times: tuple[int, ...] = (100, 250, 400, 600)  # of x_t, in thousandths of the process
    draws: int = 16  # noise draws per time and target
    elsewhere: int = 64  # images to keep that are looked at, with a draw per time
    seed: int = 0

    def __post_init__(self):
        if not self.times or min(self.times) < 1 or max(self.times) > 999:
            raise ValueError(f"retrained.times are {self.times}; give some in 1..999")
        if min(self.draws, self.elsewhere) < 1:
            raise ValueError(
                f"retrained: draws {self.draws}, elsewhere {self.elsewhere}; neither may be below 1"
            )

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """retrained: at the target, 0 is the model trained again, 1 as far from it as the base.
        retrained_elsewhere: the same at images to keep, where the base is as far as two trainings are;
        retrained_floor: that distance as a share of the base's at the target. retrained_sscd: what the
        injection test says of the model that never saw the target.
        """
        self.files()
        models = evidence.models and replace(evidence.models, after=Path(self.folder))
        reference = replace(evidence, models=models)
        self._check(*(inversion.kind(reference.model(side), self.times) for side in ("before", "after")))
        places = {t: (np.stack([i] * self.draws), 1) for t, i in evidence.forget.items()}
        places[""] = self._kept(evidence), 2
        outputs = lambda shown, side: self._outputs(shown.model(side), places)
        trained = outputs(reference, "after")
        base, gaps = (
            {k: _gaps(seen, trained[k]) for k, seen in outputs(evidence, side).items()}
            for side in ("before", "after")
        )
        whole = {k: float(v.mean()) for k, v in base.items()}
        if not all(whole.values()):
            raise ValueError(f"retrained.folder: {self.folder} outputs what the base model does; {REMEDY}")
        targets = list(evidence.forget)
        return {
            "retrained": over_targets([gaps[t] / whole[t] for t in targets]),
            "retrained_elsewhere": estimate(gaps[""] / whole[""]),
            "retrained_floor": over_targets([base[""] / whole[t] for t in targets]),
            "retrained_sscd": over_targets(self._tested(reference, networks)),
        }

    def files(self) -> list[Path]:
        """The model's. Raises ValueError where none is named, FileNotFoundError where it is not there."""
        if not self.folder:
            raise ValueError(f"retrained.folder is not given; {REMEDY}")
        if not Path(self.folder).is_dir():
            raise FileNotFoundError(f"retrained.folder: {self.folder} is no folder; name the model's")
        return sorted(f for f in Path(self.folder).rglob("*") if f.is_file())

    def _kept(self, evidence) -> np.ndarray:
        """So many of the images to keep, drawn by the seed; all of them where they are fewer."""
        side, rows = evidence.to_keep
        chosen = np.random.default_rng(self.seed).permutation(rows)[: self.elsewhere]
        return getattr(evidence, side)[np.sort(chosen)]

    def _check(self, base: list[float], again: list[float]) -> None:
        """Raise ValueError where the outputs of the two models are not of one kind."""
        if len(base) != len(again) or not np.allclose(base, again, rtol=1e-5, atol=1e-7):
            raise ValueError(
                f"retrained.folder: {self.folder} is a model of other pictures, noise or prediction than the"
                " base; name one of the same settings"
            )

    def _outputs(self, model, places: dict[str, tuple[np.ndarray, int]]) -> dict[str, Tensor]:
        """What the network outputs at x_t of pictures, (times, N, C, h, w) by place: picture i has its draw
        i, of the place's own stream.
        """
        with torch.no_grad():
            return {name: self._seen(model, *shown) for name, shown in places.items()}

    def _seen(self, model, shown: np.ndarray, stream: int) -> Tensor:
        x0 = torch.cat([model.encode(shown[i : i + BATCH]) for i in range(0, len(shown), BATCH)])
        found = []
        for time in self.times:
            draws = [chains.generator(self.seed, i, time, stream) for i in range(len(x0))]
            t = inversion.at(model, time, len(x0))
            x_t = equations.noisy(x0, chains.draw(draws, model.noise_shape()).to(x0), *model.schedule(t))
            found.append(torch.cat([model.predict(*p) for p in zip(x_t.split(BATCH), t.split(BATCH))]).cpu())
        return torch.stack(found)

    def _tested(self, reference, networks) -> list[np.ndarray]:
        """The paper's test of the model that was trained again, against the base, by target (draws,)."""
        test, again = reference.injection, fingerprints.digest([fingerprints.tree(Path(self.folder))])
        asked = [again, asdict(test), identity(networks)]
        seen = reference.shared("retrained", asked, lambda: self._alike(reference, networks))
        return [np.array(seen[t]) for t in reference.forget]

    def _alike(self, reference, networks) -> dict[str, list[float]]:
        model, found = reference.model("after"), {}
        for target, image in reference.forget.items():
            wanted = networks.descriptor(reference.injected_before[target])
            test = replace(reference.injection, draws=len(wanted))
            seen = networks.descriptor(chains.injected(model, image, test))
            found[target] = (seen * wanted).sum(1).tolist()
        return found


def _gaps(output: Tensor, trained: Tensor) -> np.ndarray:
    """The squared difference (N,), mean over times and pixels."""
    return np.mean([equations.squared_error(*pair).double().numpy() for pair in zip(output, trained)], 0)

"""The base model before a request is answered: whether it brings the targets back, and how alike unrelated
pictures are to the networks that judge.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from unpromptable import data
from unpromptable.models import device as devices
from unpromptable.planning.experiment import Experiment
from unpromptable.sampling import chains
from unpromptable.scoring import metric_networks
from unpromptable.scoring.estimates import Estimate, estimate
from unpromptable.storage import records

SAMPLE = 1000  # pictures to keep, at most, that are compared with each target
QUANTILE = 0.99  # of their similarities, so that a few pictures of the same person do not count
USELESS = 0.75  # similarity of unrelated pictures from which on nothing would say what is forgotten


@dataclass(frozen=True)
class Base:
    """What was found before any training."""

    ceilings: tuple[Estimate, ...]  # by target: similarity of what the model makes of it to the target
    unrelated: float  # the similarity to a target that one in a hundred pictures to keep exceeds
    copies: int  # pictures to keep that show a target, and are left out

    @property
    def ceiling(self) -> Estimate:
        """Of the target that comes back most."""
        return max(self.ceilings, key=lambda e: e.mean)


def told(base: Base) -> str:
    """As JSON."""
    return json.dumps(asdict(base))


def read(path: Path) -> Base:
    """What `told` gave. Raises ValueError or FileNotFoundError where the file is not that."""
    given = records.read(path, dict, ceilings=list, unrelated=float, copies=int)
    return Base(tuple(Estimate(**e) for e in given["ceilings"]), given["unrelated"], given["copies"])


def look(experiment: Experiment, pictures: Path, pretrained: Path) -> Base:
    """Judge a prepared base model. pictures: the artifact of real and forget images.

    Raises ValueError where the metric networks find unrelated pictures alike.
    """
    arrays, manifest = data.load(pictures)
    networks, device = metric_networks.of(experiment.networks), devices.best()
    targets = networks.descriptor(arrays["forget"])
    model = experiment.family.model.load(pretrained, device, experiment)
    shown = lambda image: chains.injected(model, image, experiment.injection)
    ceilings = [
        estimate((networks.descriptor(shown(f)) @ z).numpy()) for f, z in zip(arrays["forget"], targets)
    ]
    others = _unrelated(data.remember(arrays, manifest), targets.numpy(), networks)
    if others >= USELESS:
        raise ValueError(
            f"networks: one in a hundred pictures to keep is {others:.2f} like a target by"
            f" {networks.labels['sscd']}, so it cannot tell what is forgotten; choose other networks, or keep"
            " pictures that differ more"
        )
    return Base(tuple(ceilings), others, len(manifest.get("copies", ())))


def unrelated(experiment: Experiment, pictures: Path) -> float:
    """The similarity to a target that one in a hundred pictures to keep exceeds, of all targets the largest.
    pictures: as `look` takes it.
    """
    (arrays, manifest), networks = data.load(pictures), metric_networks.of(experiment.networks)
    targets = networks.descriptor(arrays["forget"]).numpy()
    return _unrelated(data.remember(arrays, manifest), targets, networks)


def _unrelated(remember, targets: np.ndarray, networks) -> float:
    """The quantile over pictures, the largest of all targets."""
    chosen = np.random.default_rng(0).permutation(len(remember))[:SAMPLE]
    near = networks.descriptor(remember[np.sort(chosen)]).numpy() @ targets.T
    return float(np.quantile(near, QUANTILE, axis=0).max())

"""The base model before a request is answered: whether it brings the targets back, and how alike unrelated
pictures are to the networks that judge.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import data
from unpromptable.models import device as devices
from unpromptable.planning.experiment import Experiment
from unpromptable.sampling import chains
from unpromptable.scoring import metric_networks
from unpromptable.scoring.estimates import Estimate, estimate, worst
from unpromptable.storage import fingerprints, records

log = logging.getLogger(__name__)
SAMPLE = 1000  # pictures to keep, at most, that are compared with each target
QUANTILE = 0.99  # of their similarities
# pictures of the same person that may be among them and do not count: of fewer than 300 these are more than
# one in a hundred, and the next one is taken
RELATED = 3
KEPT = 4  # pictures to keep that are put through the targets' test, which broken weights bring back neither
DOUBTFUL, NAMED = 0.6, 4  # similarity from which on they may show the same person, and how many are named
USELESS = 0.75  # similarity of unrelated pictures from which on nothing would say what is forgotten


@dataclass(frozen=True)
class Base:
    """What was found before any training."""

    ceilings: tuple[Estimate, ...]  # by target: similarity of what the model makes of it to the target
    unrelated: float  # the similarity to a target that unrelated pictures reach, see `reached`
    copies: int  # pictures to keep that show a target, and are left out
    test: dict[str, Any]  # what it was judged by: the injection test, the networks, and the model's digest
    kept: tuple[Estimate, ...] = ()  # of some pictures to keep: as of the targets, each with itself
    targets: tuple[str, ...] = ()  # SHA-256 of each target as the model sees it

    @property
    def ceiling(self) -> Estimate:
        """Of the target that may come back most."""
        return worst(self.ceilings)


def told(base: Base) -> str:
    """As JSON."""
    return json.dumps(asdict(base))


def read(path: Path) -> Base:
    """What `told` gave. Raises ValueError or FileNotFoundError where the file is not that."""
    given = records.read(
        path, dict, ceilings=list, unrelated=float, copies=int, test=dict, kept=list, targets=list
    )
    told = {key: tuple(Estimate(**e) for e in given[key]) for key in ("ceilings", "kept")}
    return Base(**{**given, **told, "targets": tuple(given["targets"])})


def look(experiment: Experiment, pictures: Path, pretrained: Path) -> Base:
    """Judge a prepared base model. pictures: the artifact of real and forget images.

    Raises ValueError where the metric networks find unrelated pictures alike.
    """
    arrays, manifest = data.load(pictures)
    networks, device = metric_networks.of(experiment.networks), devices.best()
    targets = networks.descriptor(arrays["forget"]).numpy()
    model = experiment.family.model.load(pretrained, device, experiment)
    shown = lambda image: networks.descriptor(chains.injected(model, image, experiment.injection))
    back = lambda images: tuple(
        estimate((shown(image) @ z).numpy()) for image, z in zip(images, networks.descriptor(images))
    )
    others = _unrelated(arrays, manifest, targets, networks)
    if others >= USELESS:
        raise ValueError(
            f"networks: one in a hundred pictures to keep is {others:.2f} like a target by"
            f" {networks.labels['sscd']}, so it cannot tell what is forgotten; choose other networks, or keep"
            " pictures that differ more"
        )
    test = {
        "injection": asdict(experiment.injection),
        "networks": networks.labels["sscd"],
        "model": fingerprints.content(pretrained),
    }
    keep, digests = _some(data.remember(arrays, manifest), KEPT), tuple(map(data.sha256, arrays["forget"]))
    copies = len(manifest.get("copies", ()))
    return Base(back(arrays["forget"]), others, copies, test, back(keep), digests)


def _some(pictures: Any, count: int) -> np.ndarray:
    """So many pictures of all, always the same ones; all where there are fewer."""
    return pictures[np.sort(np.random.default_rng(0).permutation(len(pictures))[:count])]


def unrelated(experiment: Experiment, pictures: Path) -> float:
    """The similarity to a target that unrelated pictures reach, of all targets the largest. pictures: as
    `look` takes it.
    """
    (arrays, manifest), networks = data.load(pictures), metric_networks.of(experiment.networks)
    targets = networks.descriptor(arrays["forget"]).numpy()
    return _unrelated(arrays, manifest, targets, networks)


def reached(near: np.ndarray) -> float:
    """The similarity that unrelated pictures reach, of all targets the largest: what one in a hundred
    exceeds, and RELATED at least, since these may show the person. near: (pictures, targets).
    """
    last = max(len(near) - 1, 1)
    return float(np.quantile(near, min(QUANTILE, max(1 - RELATED / last, 0.5)), axis=0).max())


def _unrelated(arrays: dict[str, Any], manifest: dict[str, Any], targets: np.ndarray, networks: Any) -> float:
    """What `reached` says of the pictures to keep; said where some may show a target's person: those that
    made it, or of few pictures those that were passed over.
    """
    remember, names = data.remember(arrays, manifest), data.remember_names(arrays, manifest)
    chosen = np.sort(np.random.default_rng(0).permutation(len(remember))[:SAMPLE])
    near = networks.descriptor(remember[chosen]).numpy() @ targets.T
    found = reached(near)
    few = 1 - RELATED / len(near) < QUANTILE
    if found >= DOUBTFUL or few and near.max() >= DOUBTFUL:
        most = [names[chosen[i]] for i in near.max(1).argsort()[::-1][:NAMED]]
        words = (
            "unrelated pictures to keep count as up to %.2f like a target, and below that it counts as"
            " forgotten; if %s show the same person, leave all of that person out of the pictures to keep"
        )
        log.warning(words, found, ", ".join(most))
    return found

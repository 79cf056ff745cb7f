"""What each step holds at most, so that a pod that is too small is told before it is killed.

Counted from shapes, with what a step's process holds before it begins (measured). Pictures that are read on
demand from their files count as the few that are held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path

from . import cost, plan
from .cost import FILL
from .experiment import Cell, Experiment
from .operations import Operations
from .shards import shards

MIB = 1 << 20
# bytes of a process that has loaded torch and diffusers; what CUDA adds on the host; of a light step's
PROCESS, CUDA, LIGHT = 700 * MIB, 1500 * MIB, 450 * MIB
PIECES = 4 * 16 * MIB  # of pictures in files that are read and written at a time
BATCH = 64  # images that metric networks see at a time
FLOAT, WIDE, FEATURES = 4, 8, 2048  # bytes, and numbers of a Frechet feature
MATRICES = 12  # of features by features, while a distance is made
SHOWN, COPIES = 12, 6  # pictures of a target and cell on a page, and how often a page's text is held
METRIC_NETWORKS = {  # bytes of the weights, and at once per image of the largest
    "paper": (207e6, 19e6),
    "miniature": (3e6, 2e6),
}


NONE = Operations(nan, nan, weights=nan, trained=nan, seen=nan, taught=nan)  # of a base model not known here
FIVE = 5  # of the paper's metrics look at pictures alone; others may run the base model


@dataclass(frozen=True)
class Peak:
    """The most that a step holds at a time, in bytes, nan where that is not known: pictures and numbers on
    the host, networks and their activations where they run, and weights on the host while a GPU is given
    them.
    """

    step: str
    cell: str  # '' for what all cells share
    pictures: float
    network: float
    loading: float = 0.0
    light: bool = False  # of a step that loads no networks
    shared: bool = False  # by a process for each GPU, which one more watches where they are several

    def host(self, gpus: int) -> float:
        """Bytes that the step's pod needs, which has so many GPUs."""
        if self.light or not gpus:
            return (LIGHT if self.light else PROCESS) + self.pictures + self.network
        processes = gpus if self.shared else 1
        watching = PROCESS if processes > 1 else 0
        return watching + processes * (PROCESS + CUDA + self.loading) + self.pictures


def gib(value: float) -> str:
    """Bytes as pods write them, `?` where they are not known."""
    return "?" if isnan(value) else f"{value / 2**30:.1f}Gi"


def peaks(resolved: plan.Plan, images_per_shard: int = 0) -> Iterator[Peak]:
    """Every step's, those of all cells first."""
    e, base = resolved.experiment, cost.network(resolved.experiment)
    base = base if base and base.weights else NONE
    picture = 3.0 * pixels(e) ** 2
    yield Peak("plan", "", 0.0, 0.0, light=True)
    yield _prepare(e, base, picture)
    yield _sample(e, base, picture, "", images_per_shard)
    for cell in resolved.cells:
        yield _unlearn(cell, base, picture)
        yield _sample(e, base, picture, cell.name, images_per_shard)
        yield _score(e, base, picture, cell)
    shown = len(resolved.targets()) * (len(resolved.cells) + 1) * SHOWN
    yield Peak("report", "", PIECES + COPIES * shown * picture, 0.0, light=True)


def pixels(experiment: Experiment) -> float:
    """The side of the pictures; nan where the base model, which says it, is not here."""
    source, asked = experiment.model, cost.pixels(experiment)
    known = [s for family, name, s in cost.NETWORKS if (family, name) == (source.name, source.source)]
    if asked or known:
        return asked or max(known)
    folder = Path(source.source)
    return experiment.family.pixels(folder, experiment) if folder.is_dir() else nan


def _prepare(e: Experiment, base: Operations, picture: float) -> Peak:
    """The metric networks look for copies; a prompted model draws its remember set, of which most is kept,
    and twice while it is joined.
    """
    weights, live = METRIC_NETWORKS.get(e.networks.name, (nan, nan))
    pictures, network, loading = PIECES + 3 * BATCH * FLOAT * picture, weights + BATCH * live, weights
    kept = e.remember
    if kept.source == "model":
        pictures += 2 * 2 * kept.images * (2 if kept.prompts else 1) * picture
        network += base.weights + e.sampling.batch * base.seen
        loading += 2 * base.weights
    return Peak("prepare", "", pictures, network, loading)


def _sample(e: Experiment, base: Operations, picture: float, cell: str, per_shard: int) -> Peak:
    """A shard's pictures, and a batch in the network."""
    s = e.sampling
    most = max(piece["count"] for piece in shards(s, per_shard)) * (2 if e.other_prompts else 1)
    batch = min(s.batch, s.images + -s.images % FILL)
    network = base.weights + max(batch, FILL) * base.seen
    return Peak("sample", cell, PIECES + most * picture, network, 2 * base.weights, shared=True)


def _unlearn(cell: Cell, base: Operations, picture: float) -> Peak:
    """Weights, a gradient of each branch and their sum, two moments, a copy where the method reads it or a
    state is written, another that the method notes, and a micro-batch in the network.
    """
    if cell.unlearned:
        return Peak("unlearn", cell.name, PIECES, 0.0)
    t, method = cell.training, cell.method.made
    branches = method.passes[1] if method.passes else 2
    copies = branches + 1 + 2 + 1 + bool(method.looks(0))
    reference = base.weights if method.reads_reference else 0.0
    network = base.weights + reference + copies * base.trained + (t.micro_batch or t.batch) * base.taught
    pictures = PIECES + 6 * t.batch * FLOAT * picture
    return Peak("unlearn", cell.name, pictures, network, 2 * base.weights + base.trained, shared=True)


def _score(e: Experiment, base: Operations, picture: float, cell: Cell) -> Peak:
    """Frechet features of real images, before and after, one set twice while it is joined, and matrices; of a
    metric that trains the model, a gradient and two moments too.
    """
    weights, live = METRIC_NETWORKS.get(e.networks.name, (nan, nan))
    real = cost.real_images(e)
    n, real_images = e.sampling.images, nan if real is None else real
    features = FEATURES * FLOAT * (2 * n + real_images + max(n, real_images))
    matrices = MATRICES * WIDE * FEATURES**2
    own = base.weights if len(e.metrics) > FIVE else 0.0
    taught = max((m.made.taught(cell.training) for m in e.metrics), default=0)
    learning = 3 * base.trained + taught * base.taught if taught else 0.0
    pictures = PIECES + 3 * BATCH * FLOAT * picture + features + matrices
    return Peak("score", cell.name, pictures, weights + BATCH * live + own + learning, weights + own)

"""What each of several processes does in the tests of shared updates, and what one alone does for comparison.

It lies apart, since a process that is started imports the module of what it is to do.
"""

import dataclasses
from contextlib import nullcontext

import numpy as np
import torch

from unpromptable import protocols
from unpromptable.models.families.ddpm import Model
from unpromptable.planning import plugins
from unpromptable.planning.experiment import Cell
from unpromptable.planning.settings import Choice, Training
from unpromptable.pretraining.ddpm import Pretraining, build
from unpromptable.unlearning import fit_memory, gradients, together, training

ASKED = {
    **{name: (name, dict(plugins.find("method", name).small)) for name in plugins.names("method")},
    "distilled": ("surrogate", {"remember": "base"}),
    "no importance": ("siss", {"importance": False}),
    "inner updates": ("erasediff", {"inner": 2, "weight": "cosine", "noise": "added"}),
}
# of two processes one measures two images, the other three: where batches differ in size, float32 differs by
# more than sums in another order do, so this one is measured in float64
UNEVEN = Training(batch=5)
EVEN = Training(steps=2, batch=4, micro_batch=2, lr=1e-5, save_every=1)


def model():
    return Model(*build(8, Pretraining(channels=(8, 8), seed=3)))


def images():
    pictures = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    return training.Images(pictures[4:], pictures[:2], pictures[2:4], ("a", "b"))


def batch(of, settings, **change):
    drawn = training.draw_batch(of, settings, images(), 0, 0, False)
    return dataclasses.replace(drawn, reference=of.reference(), **change)


def flat(tensors):
    return torch.cat([x.detach().flatten() for x in tensors]).numpy()


def gradient(name):
    """Of one update in float64, and what it tells."""
    method, settings = ASKED[name]
    one = model()
    one.network.double()
    drawn = batch(one, UNEVEN)
    with torch.no_grad():  # away from the reference, where some losses are nothing but rounding
        for p in one.trained():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(9)))
    images = {k: getattr(drawn, k).double() for k in ("remember", "forget", "surrogate", "eps")}
    told = plugins.make("method", method, settings).update(one, dataclasses.replace(drawn, **images))
    return flat([p.grad for p in one.trained()]), told


def weights(name, folder):
    """After four updates, two for each target."""
    one, cell = model(), Cell("Ours", Choice(*ASKED[name]), Choice("flip"), EVEN, ("a", "b"))
    training.unlearn(cell, one, images(), folder)
    return flat(one.trained())


def stopped(folder):
    """Updates of a training that ends early, as the first process alone can tell."""
    settings = Training(steps=4, batch=4, until=0.5, until_every=1)
    cell = Cell("Ours", Choice("surrogate"), Choice("flip"), settings, ("a", "b"))
    judge = (lambda now, which: 0.1) if together.first() else None
    return training.unlearn(cell, model(), images(), folder, None, judge)["steps"]


class Greedy(protocols.Method):
    """Only one of the processes lacks memory, for more than one image at a time."""

    def update(self, model, batch):
        ((g,), (loss,)) = gradients.measure(model, batch, self._loss)
        gradients.write(model, g)
        return {"remember": loss}

    def _loss(self, model, b):
        if not together.first() and len(b.t) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return (b.kept(model).mean(),)


class Drawing(protocols.Method):
    """Draws where no other process sees it."""

    def update(self, model, batch):
        return gradients.measure(model, batch, self._loss)

    def _loss(self, model, b):
        return (b.kept(model).mean() * torch.rand((), generator=b.generator),)


def fitted():
    """The micro-batch on which all processes agree, and its gradient."""
    one = model()
    _, settings = fit_memory.fitting(lambda s: Greedy().update(one, batch(one, s)), one, EVEN)
    return settings.micro_batch, flat([p.grad for p in one.trained()])


def refused():
    one = model()
    try:
        Drawing().update(one, batch(one, EVEN))
    except ValueError as error:
        return str(error)


def apart():
    """What is said of weights that one process has changed alone."""
    one = model()
    with torch.no_grad():
        one.trained()[0][0] += 0.0 if together.first() else 1e-3
    try:
        together.check_same(one.trained(), "weights")
    except RuntimeError as error:
        return str(error)


def everything(member):
    """`setup` of a crew, whose members do all of it together."""

    def work(folder, tell):
        with together.group(*member) if member.number > 1 else nullcontext():
            return {
                "gradients": {name: gradient(name) for name in ASKED},
                "weights": {name: weights(name, folder / name) for name in ASKED},
                "stopped": stopped(folder / "stopped"),
                "fitted": fitted(),
                "refused": refused(),
                "apart": apart(),
            }

    return work

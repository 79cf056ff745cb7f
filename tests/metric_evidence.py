"""The evidence of a cell made of noise, and metrics with settings that measure it in seconds."""

from __future__ import annotations

import numpy as np

from unpromptable.planning import plugins
from unpromptable.scoring.evidence import Evidence, Models


def images(n, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def evidence(**change):
    a, b = images(40), images(40, seed=1)
    one = {"t": images(3, seed=2)}
    given = {
        "before": a,
        "after": b,
        "real": images(60, seed=3),
        "remember": images(30, seed=6),
        "others_before": images(9, seed=7),
        "others_after": images(9, seed=8),
        "injected_before": one,
        "injected_after": one,
        "forget": {"t": images(1, seed=4)[0]},
        "surrogates": {"t": images(1, seed=5)[0]},
    }
    return Evidence(**{**given, **change})


def quick(name):
    """The metric as tests measure in seconds."""
    return plugins.make("metric", name, dict(plugins.find("metric", name).small))


def shipped():
    """Evidence with the shipped model before and after, of one person with two other pictures among the real
    ones.
    """
    from importlib import resources

    from unpromptable.planning.experiment import Experiment
    from unpromptable.planning.settings import Injection

    folder = resources.files("unpromptable") / "miniature" / "ddpm"
    experiment = Experiment("t", "miniature", "miniature", ("p-9",))
    one = {"p-9": images(3, seed=2)}
    return evidence(
        injected_before=one,
        injected_after=one,
        forget={"p-9": images(1, seed=4)[0]},
        surrogates={"p-9": images(1, seed=5)[0]},
        names=tuple(f"{'p' if i < 2 else 'q'}-{i}" for i in range(60)),
        models=Models(experiment, folder, folder),
        injection=Injection(t=2, draws=2),
    )

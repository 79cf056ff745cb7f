"""How far a series has come from the model that it began with, and whether to train it anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from unpromptable.planning import plugins
from unpromptable.planning import spec as planned
from unpromptable.planning.settings import Sampling
from unpromptable.scoring.estimates import Estimate
from unpromptable.storage import place

from . import certificate, gates
from .series import Entry

METRICS = ("lpips", "ssim", "fid_pre")
RETRAIN = "Retraining is the better answer"
UNKNOWN = "How far the series has come is not known, since the run of its first request was removed."
SHOWN = {"lpips": "LPIPS", "ssim": "SSIM", "fid_pre": "FID_pre"}


def measure(first: Path, run: Path, row: str) -> dict[str, Estimate] | None:
    """LPIPS, SSIM and FID_pre of an attempt against the model that the series began with, seed by seed.

    first: the run of the series' first request. Its images, and the attempt's where they were drawn in the
    same way, are taken from the runs; what was purged is drawn again, since the models are there.
    None where the first run was removed.
    """
    from unpromptable.scoring import metric_networks
    from unpromptable.scoring.evidence import Evidence

    if not planned.planned(first):
        return None
    experiment = planned.read(first).experiment
    shared = place.shared(str(first))
    before = _images(first, shared.path("before.safetensors"), shared.path("pretrained"), experiment.sampling)
    mine = run / row
    after = _images(run, mine / "after.safetensors", mine / "unlearned", experiment.sampling)
    networks = metric_networks.of(experiment.networks)
    evidence = Evidence(before, after, after[:0], {}, {}, {}, {})
    return {m: plugins.make("metric", m, {}).measure(evidence, networks)[m] for m in METRICS}


def _images(run: Path, kept: Path, model: Path, wanted: Sampling) -> np.ndarray:
    """A model's images, uint8 (N, H, W, 3): those of the run where they were drawn as is wanted, or drawn."""
    from unpromptable import data
    from unpromptable.models import device
    from unpromptable.sampling import chains

    experiment = planned.read(run).experiment
    if _alike(experiment.sampling, wanted) and kept.is_file():
        arrays, manifest = data.load(kept, "samples")
        if len(manifest["seeds"]) == wanted.images:  # none that stopped early
            return arrays["samples"]
    base = place.shared(str(run)).path("pretrained")
    loaded = experiment.family.model.load(model, device.best(), experiment, base)
    return chains.sample(loaded, wanted, 0, wanted.images)[0]


def _alike(a: Sampling, b: Sampling) -> bool:
    """Whether two settings draw the same pictures."""
    plain = lambda s: replace(s, shards=1, when="always", stop="none")
    return plain(a) == plain(b)


def advice(line: Sequence[Entry], last: Entry | None) -> tuple[bool, str]:
    """Whether retraining is the better answer than one more hotfix, and why, in a sentence.

    It is where the drift from the series' first model fails a gate that the line's last request sets on what
    is kept, or where the last request of all, `last`, was refused or took its whole budget of attempts. An
    interval's worse end is what counts.
    """
    if last is not None and last.outcome == certificate.REFUSED:
        return True, f"{RETRAIN}: no attempt at request {last.name} passes every gate ({last.tried} made)."
    if not line:
        return False, "Nothing was released yet."
    known = line[-1].drift is not None
    past = [found for metric in METRICS if known and (found := _past(line[-1], metric))]
    if past:
        words = f"against the model that the series began with, {' and '.join(past)} of the last request"
        return True, f"{RETRAIN}: {words}."
    if line[-1].tried >= line[-1].budget > 1:
        return True, f"{RETRAIN}: the last request took all {line[-1].budget} attempts of its budget."
    if not known:
        return False, UNKNOWN
    return False, f"A hotfix is still the better answer. {_forecast(line)}"


def bound(entry: Entry, metric: str) -> float | None:
    """An entry's own gate on a metric; None where it has none."""
    return next((g["bound"] for g in entry.gates if g["metric"] == metric), None)


def _worst(entry: Entry, metric: str) -> float:
    assert entry.drift is not None  # asked of releases that have one
    e = entry.drift[metric]
    end = e.high if gates.SIDES[metric] < 0 else e.low
    return e.mean if end is None else end


def _past(entry: Entry, metric: str) -> str:
    """In words where the drift fails the entry's own gate; else empty."""
    gate, worst, side = bound(entry, metric), _worst(entry, metric), gates.SIDES[metric]
    if gate is None or (worst - gate) * side > 0:
        return ""
    return f"{SHOWN[metric]} is {worst:.3f} at its worst, past the gate of {gate:.3f}"


def _forecast(line: Sequence[Entry]) -> str:
    """After how many more requests a gate is reached, if they cost as much as those so far."""
    left: dict[str, int] = {}
    for metric in METRICS:
        gate, side = bound(line[-1], metric), gates.SIDES[metric]
        step = (_worst(line[-1], metric) - (0.0 if side < 0 else 1.0)) / len(line)
        if gate is not None and step * side < 0:
            left[metric] = int((gate - _worst(line[-1], metric)) / step)
    if not left:
        return "No drift towards a gate is seen."
    metric = min(left, key=lambda m: left[m])
    many = "not one more" if left[metric] < 1 else f"about {left[metric]} more"
    return f"At the drift so far {many} fit before {SHOWN[metric]} reaches its gate."

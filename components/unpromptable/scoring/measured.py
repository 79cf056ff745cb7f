"""A cell's metrics, each kept under its own identity, so that one that is added is measured alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from unpromptable.planning.experiment import Experiment
from unpromptable.planning.reading import shown
from unpromptable.planning.settings import Choice, Networks
from unpromptable.storage import files, records
from unpromptable.storage.once import CellFailed

from . import metric_networks
from .estimates import Estimate
from .evidence import Artifacts, Evidence

FOLDER = "metrics"  # in a cell's folder


def measure(
    experiment: Experiment,
    artifacts: Artifacts,
    evidence: Callable[[], Evidence],
    folder: Path,
    keys: dict[str, str],
    taken: Collection[str] = (),
) -> dict[str, Any]:
    """The measured part of a cell's row: metrics, labels, surrogate distances, identities of inputs.

    evidence: loads it, where a metric has to be measured. keys: of each metric's values, by its name. taken:
    the row's own words, which no value may have. Raises CellFailed where two values have one name.
    """
    evidence = cache(evidence)
    manifests = artifacts.manifests()
    values: dict[str, Any] = {}
    whose = dict.fromkeys(taken, "every row")
    for metric in experiment.metrics:
        found = of_metric(metric, experiment, evidence, folder / FOLDER / f"{metric.name}.json", keys)
        if twice := [key for key in found if key in whose]:
            told = f"gives {twice[0]}, as {whose[twice[0]]} does; it must give its values names of their own"
            raise CellFailed(f"metric {metric.name}: {told}")
        values |= found
        whose |= dict.fromkeys(found, f"the metric {metric.name}")
    return {
        **values,
        "labels": metric_networks.labels(experiment.networks),
        "surrogates": manifests["surrogates"]["distances"],
        "seconds": {"edit": manifests["surrogates"]["seconds"], "sample": manifests["after"]["seconds"]},
        "inputs": {f"{n}/{k}": v for n, made in manifests.items() for k, v in made["sha256"].items()},
    }


def of_metric(
    metric: Choice, experiment: Experiment, evidence: Callable[[], Evidence], path: Path, keys: dict[str, str]
) -> dict[str, Any]:
    """One metric's estimates as plain values, read where they are there. Raises CellFailed where it gives
    others.
    """
    if files.finished(path, keys[metric.name]):
        return records.read(path)
    networks = _networks(experiment.networks)
    found = _plain(metric.name, metric.made.measure(evidence(), networks))
    files.write_text(path, json.dumps(found))
    files.finish(path, keys[metric.name])
    return found


def _plain(name: str, found: Any) -> dict[str, Any]:
    """What a metric gave, as it is written down."""
    wanted = "`measure` must return a dict of Estimates by name"
    if not isinstance(found, dict) or not all(isinstance(e, Estimate) for e in found.values()):
        raise CellFailed(f"metric {name}: gave {shown(found)}; {wanted}")
    if name not in found or not all(isinstance(key, str) for key in found):
        raise CellFailed(f"metric {name}: gave {shown(list(found))}; {wanted}, one of them its own")
    for key, e in found.items():
        ends = () if e.low is None and e.high is None else (e.low, e.high)
        if not all(map(_number, (e.mean, *ends))) or not isinstance(e.n, int):
            told = f"{key} is mean {e.mean!r}, low {e.low!r}, high {e.high!r}, n {e.n!r}"
            raise CellFailed(f"metric {name}: {told}; give finite numbers of Python's own, no array's")
    return {key: asdict(e) for key, e in found.items()}


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


@cache
def _networks(networks: Networks) -> metric_networks.MetricNetworks:
    return metric_networks.of(networks)

"""A cell's metrics, each kept under its own identity, so that one that is added is measured alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from unpromptable.planning.experiment import Experiment
from unpromptable.planning.settings import Choice, Networks
from unpromptable.storage import files, records

from . import metric_networks
from .evidence import Artifacts, Evidence

FOLDER = "metrics"  # in a cell's folder


def measure(
    experiment: Experiment,
    artifacts: Artifacts,
    evidence: Callable[[], Evidence],
    folder: Path,
    keys: dict[str, str],
) -> dict[str, Any]:
    """The measured part of a cell's row: metrics, labels, surrogate distances, identities of inputs.

    evidence: loads it, where a metric has to be measured. keys: of each metric's values, by its name.
    """
    evidence = cache(evidence)
    manifests = artifacts.manifests()
    values: dict[str, Any] = {}
    for metric in experiment.metrics:
        values |= of_metric(metric, experiment, evidence, folder / FOLDER / f"{metric.name}.json", keys)
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
    """One metric's estimates as plain values, read where they are there."""
    if files.finished(path, keys[metric.name]):
        return records.read(path)
    networks = _networks(experiment.networks)
    found = {key: asdict(e) for key, e in metric.made.measure(evidence(), networks).items()}
    files.write_text(path, json.dumps(found))
    files.finish(path, keys[metric.name])
    return found


@cache
def _networks(networks: Networks) -> metric_networks.MetricNetworks:
    return metric_networks.of(networks)

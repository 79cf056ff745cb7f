"""A cell's evidence, its metrics, and the row they make."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import data
from unpromptable.planning import plan, plugins
from unpromptable.planning.experiment import Cell, Experiment
from unpromptable.planning.settings import Injection, Pictures, Training
from unpromptable.storage import fingerprints, store

from . import metric_networks


@dataclass(frozen=True)
class Models:
    """Where the two models of a cell lie, for metrics that run them."""

    experiment: Experiment
    before: Path
    after: Path
    device: str = "cpu"

    def identity(self) -> str:
        """What the model 'before' is: its files, and all that the experiment says of it."""
        asked = (self.experiment.model, self.experiment.prompt, self.experiment.other_prompts)
        return fingerprints.digest(
            [[str(a) for a in asked], fingerprints.tree(store.fetch(self.before), time=False)]
        )

    def load(self, which: str) -> Any:
        """The model 'before' or 'after', a copy of the caller's own."""
        return plugins.module("model", self.experiment.model.name).Model.load(
            store.fetch(getattr(self, which)), self.device, self.experiment, store.fetch(self.before)
        )


@dataclass(frozen=True)
class Evidence:
    """What metrics measure. Arrays are uint8 (n, H, W, 3); before and after are pairs by seed; dicts are by
    target.
    """

    before: np.ndarray
    after: np.ndarray
    real: np.ndarray
    injected_before: dict[str, np.ndarray]  # (draws, H, W, 3)
    injected_after: dict[str, np.ndarray]
    forget: dict[str, np.ndarray]  # (H, W, 3)
    surrogates: dict[str, np.ndarray]
    cache: Path | None = None  # folder where what is the same for every cell is kept
    names: tuple[str, ...] = ()  # of the real images
    models: Models | None = None
    training: Training = Training()  # the cell's
    injection: Injection = Injection()
    pictures: Pictures = Pictures()
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    remember: np.ndarray | None = None  # (R, H, W, 3)
    others_before: np.ndarray | None = None  # outputs of the other prompts, pairs by seed
    others_after: np.ndarray | None = None
    seeds: tuple[int, ...] = ()  # of the pairs
    prompts: tuple[str, ...] = ()  # the other prompts, in turn over the seeds

    def features(self, which: str, networks: metric_networks.MetricNetworks) -> np.ndarray:
        """Frechet features (n, F) float64 of 'before', 'after' or 'real', computed once per experiment where
        shared.
        """
        if which not in self.kept:
            images = getattr(self, which)
            key = fingerprints.digest(
                [networks.name, networks.inception, data.sha256(images), plan.code_digest()]
            )[:16]
            path = (
                self.cache / f"features-{which}-{key}.safetensors"
                if self.cache and which != "after"
                else None
            )
            self.kept[which] = _features(path, images, networks)
        return self.kept[which]

    def model(self, which: str) -> Any:
        """The model 'before' or 'after', a copy that the metric may change. Raises ValueError where the
        evidence is images alone.
        """
        if self.models is None:
            raise ValueError(
                f"metrics: this one runs the model {which} unlearning, but the evidence holds images alone"
            )
        return self.models.load(which)

    def shared(
        self, name: str, settings: Any, compute: Callable[[], dict[str, list[float]]]
    ) -> dict[str, list[float]]:
        """`compute()` of the model 'before' and the targets, once for all cells that ask for `name` with the
        same settings.

        Kept under all that it depends on: settings, targets, the model with its files, prompt and settings,
        and this code.
        """
        targets = {t: data.sha256(i) for t, i in self.forget.items()}
        key = fingerprints.digest(
            [name, settings, targets, self.models.identity() if self.models else "", plan.code_digest()]
        )[:16]
        path = self.cache / f"{name}-{key}.json" if self.cache else None
        if path is not None and store.fetch(path).exists():
            return json.loads(path.read_text())
        found = compute()
        if path is not None:
            store.write_text(path, json.dumps(found))
        return found


def score(
    cell: Cell,
    experiment: Experiment,
    data_path: str,
    before_path: str,
    after_path: str,
    surrogates_path: str,
    cache: Path,
    models: Models,
) -> dict[str, Any]:
    """The measured part of a cell's row: the experiment's metrics, labels, surrogate distances, identities of
    inputs.
    """
    arrays, manifest = data.load(data_path)
    (before, before_made), (after, after_made), (painted, painted_made) = (
        data.load(p) for p in (before_path, after_path, surrogates_path)
    )
    if before_made["seeds"] != after_made["seeds"]:
        raise ValueError(
            "before and after were drawn from other seeds; remove the cell's after.safetensors and run again"
        )
    injected = [{t: made[f"injected/{t}"] for t in cell.forget} for made in (before, after)]
    forget = {t: arrays["forget"][manifest["forget_names"].index(t)] for t in cell.forget}
    evidence = Evidence(
        before["samples"],
        after["samples"],
        arrays["real"],
        *injected,
        forget,
        dict(zip(cell.forget, painted["images"])),
        cache,
        tuple(manifest["names"]),
        models,
        cell.training,
        experiment.injection,
        experiment.pictures,
        remember=data.remember(arrays, manifest),
        others_before=before.get("others"),
        others_after=after.get("others"),
        seeds=tuple(before_made["seeds"]),
        prompts=experiment.other_prompts,
    )
    networks = metric_networks.load(experiment.networks.name, experiment.networks.folder or None)
    values = {
        key: asdict(e) for m in experiment.metrics for key, e in m.made.measure(evidence, networks).items()
    }
    inputs = {"data": manifest, "before": before_made, "after": after_made, "surrogates": painted_made}
    return {
        **values,
        "labels": networks.labels,
        "surrogates": painted_made["distances"],
        "seconds": {"edit": painted_made["seconds"], "sample": after_made["seconds"]},
        "inputs": {f"{n}/{k}": v for n, made in inputs.items() for k, v in made["sha256"].items()},
    }


def _features(path: Path | None, images: np.ndarray, networks: metric_networks.MetricNetworks) -> np.ndarray:
    from safetensors.numpy import load_file, save_file

    if path is not None and store.fetch(path).exists():
        return load_file(path)["features"]
    features = networks.features(images).double().numpy()
    if path is not None:
        temporary = store.own(path)
        save_file({"features": features}, temporary)
        temporary.replace(path)
        store.publish(path)
    return features

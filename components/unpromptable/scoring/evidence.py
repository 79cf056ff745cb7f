"""A cell's evidence, its metrics, and the row they make."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import data, pictures
from unpromptable.planning.code import code
from unpromptable.planning.experiment import Cell, Experiment
from unpromptable.planning.settings import Injection, Pictures, Training
from unpromptable.storage import files, fingerprints, records

from . import metric_networks


@dataclass(frozen=True)
class Models:
    """Where the two models of a cell lie, for metrics that run them."""

    experiment: Experiment
    before: Path
    after: Path
    device: str = "cpu"

    def identity(self) -> str:
        """What the model 'before' is: its files, its family's code, and all that the experiment says of
        it.
        """
        asked = (self.experiment.model, self.experiment.prompt, self.experiment.other_prompts)
        return fingerprints.digest(
            [
                [str(a) for a in asked],
                code(type(self.experiment.family).__module__),
                fingerprints.tree(files.fetch(self.before), time=False),
            ]
        )

    def load(self, which: str) -> Any:
        """The model 'before' or 'after', a copy of the caller's own."""
        return self.experiment.family.model.load(
            files.fetch(getattr(self, which)), self.device, self.experiment, files.fetch(self.before)
        )


@dataclass(frozen=True)
class Evidence:
    """What metrics measure. Arrays are uint8 (n, H, W, 3); before and after are pairs by seed; dicts are by
    target. Those of many pictures are read on demand: take them by slices, and write to none.
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
    kept: dict[str, Any] = field(default_factory=dict)
    remember: Any = None  # (R, H, W, 3): an array, or data.Rows of one
    remember_names: tuple[str, ...] = ()
    others_before: np.ndarray | None = None  # outputs of the other prompts, pairs by seed
    others_after: np.ndarray | None = None
    seeds: tuple[int, ...] = ()  # of the pairs
    prompts: tuple[str, ...] = ()  # the other prompts, in turn over the seeds
    source: str = ""  # the folder of the real images, or the name of a shipped source

    def named(self, target: str) -> str:
        """What a target is called among the real images, or would be; `forget` may have its path."""
        return pictures.named(target, self.source, self.names)

    @property
    def to_keep(self) -> tuple[str, np.ndarray]:
        """Which side holds pictures to keep, and the rows of it that do: all remember images, or where there
        are none all real ones but the targets.
        """
        if self.remember is not None:
            return "remember", np.arange(len(self.remember))
        named = (
            ~np.isin(self.names, [*map(self.named, self.forget)])
            if self.names
            else np.ones(len(self.real), bool)
        )
        return "real", np.flatnonzero(named)

    def features(self, which: str, networks: metric_networks.MetricNetworks) -> np.ndarray:
        """Frechet features (n, F) of 'before', 'after' or 'real', in the networks' own precision."""
        compute = lambda: networks.features(getattr(self, which)).numpy()
        return self.once(f"features-{which}", (which,), networks, compute)

    def embeddings(self, which: str, networks: metric_networks.MetricNetworks) -> np.ndarray:
        """Unit descriptors (n, D) of 'before', 'after', 'real' or 'remember'."""
        compute = lambda: networks.descriptor(getattr(self, which)).numpy()
        return self.once(f"descriptors-{which}", (which,), networks, compute)

    def once(
        self,
        name: str,
        sides: tuple[str, ...],
        networks: metric_networks.MetricNetworks,
        compute: Callable[[], np.ndarray],
        *settings: Any,
    ) -> np.ndarray:
        """`compute()` of the images of these sides, once for all cells, or for this one where 'after' is
        among them.

        Kept under all that it depends on: name, settings, images, networks, and the code of what computes it.
        """
        if name not in self.kept:
            path = None
            if self.cache and "after" not in sides:
                images = [self._identity(which) for which in sides]
                made = [name, *settings, images, identity(networks), _code(compute)]
                path = self.cache / f"{name}-{fingerprints.digest(made)[:16]}.safetensors"
            self.kept[name] = _array(path, compute)
        return self.kept[name]

    def _identity(self, which: str) -> str:
        """Of a side's images; gigabytes of them are read once for all metrics."""
        name = f"sha256-{which}"
        if name not in self.kept:
            self.kept[name] = data.sha256(getattr(self, which))
        return self.kept[name]

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
        self, name: str, settings: Any, compute: Callable[[], dict[str, list[Any]]]
    ) -> dict[str, list[Any]]:
        """`compute()` of the model 'before' and the targets, once for all cells that ask for `name` with the
        same settings.

        Kept under all that it depends on: settings, targets, the model with its files, prompt and settings,
        and the code of what computes it.
        """
        targets = {t: data.sha256(i) for t, i in self.forget.items()}
        key = fingerprints.digest(
            [name, settings, targets, self.models.identity() if self.models else "", code(compute.__module__)]
        )[:16]
        path = self.cache / f"{name}-{key}.json" if self.cache else None
        if path is not None and files.finished(path, path.stem):
            return records.read(path)
        found = compute()
        if path is not None:
            files.write_text(path, json.dumps(found))
            files.finish(path, path.stem)
        return found


@dataclass(frozen=True)
class Artifacts:
    """The files that a cell is judged by."""

    data: Path
    before: Path
    after: Path
    surrogates: Path

    def manifests(self) -> dict[str, dict[str, Any]]:
        """What each says of itself, without its pictures."""
        return {f.name: data.peek(getattr(self, f.name))[1] for f in fields(self)}


def load(
    cell: Cell, experiment: Experiment, artifacts: Artifacts, cache: Path, models: Models | None
) -> Evidence:
    """The evidence on a cell. Raises ValueError where before and after are no pairs by seed."""
    arrays, manifest = data.load(artifacts.data)
    (before, drawn), (after, drawn_after) = data.load(artifacts.before), data.load(artifacts.after)
    painted, _ = data.load(artifacts.surrogates)
    forget = data.forget(arrays, manifest)
    number = len(drawn_after["seeds"])  # of a cell that stopped drawing, fewer than before
    if drawn["seeds"][:number] != drawn_after["seeds"]:
        raise ValueError(
            "before and after were drawn from other seeds; remove the cell's after.safetensors and run again"
        )
    first = lambda a: a if number == len(drawn["seeds"]) else data.Rows(a, np.arange(number))
    injected = [{t: made[f"injected/{t}"] for t in cell.forget} for made in (before, after)]
    return Evidence(
        first(before["samples"]),
        after["samples"],
        arrays["real"],
        *injected,
        {t: forget[t] for t in cell.forget},
        dict(zip(cell.forget, painted["images"])),
        cache,
        tuple(manifest["names"]),
        models,
        cell.training,
        experiment.injection,
        experiment.pictures,
        remember=data.remember(arrays, manifest),
        remember_names=data.remember_names(arrays, manifest),
        others_before=first(before["others"]) if "others" in before else None,
        others_after=after.get("others"),
        seeds=tuple(drawn_after["seeds"]),
        prompts=experiment.other_prompts,
        source=experiment.real,
    )


def identity(networks: metric_networks.MetricNetworks) -> list[str]:
    """What values of metric networks depend on: which they are, their weights, the code that asks them."""
    return [networks.name, networks.weights, code(metric_networks.__name__)]


def _array(path: Path | None, compute: Callable[[], np.ndarray]) -> np.ndarray:
    from safetensors.numpy import load_file, save_file

    if path is not None and files.finished(path, path.stem):
        return load_file(path)["found"]
    found = compute()
    if path is not None:
        with files.replacing(path) as temporary:
            save_file({"found": found}, temporary)
        files.finish(path, path.stem)
    return found


def _code(compute: Callable[..., Any]) -> str:
    """Identity of the code of a metric; what this module asks of the networks is part of their identity."""
    return "" if compute.__module__ == __name__ else code(compute.__module__)

"""A planned run as its steps read it: what all cells share, and a spec per cell."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unpromptable.storage import files, fingerprints, records
from unpromptable.storage.place import SHARED, Output, Place

from .experiment import Cell, Experiment, read_cell, read_experiment, to_json
from .reading import shown
from .validation import build

FILE = "experiment.json"  # in the store
PARTS = {"shared": dict, "shards": list, "cells": list, "key": str}  # of it, beside the experiment's own keys
KEYS = ("pretrained", "data", "samples")
KEYS_OF_CELL = ("surrogates", "unlearned", "samples", "row")


@dataclass(frozen=True)
class Shard:
    """One file of a model's images: `count` of them from `first` on, and its number among all shards."""

    first: int
    count: int
    shard: int
    shards: int

    @property
    def file(self) -> str:
        """Its name."""
        return f"samples-{self.shard:04d}-of-{self.shards}.safetensors"


@dataclass(frozen=True)
class Spec:
    """What is to be made in one place of a run: for a cell, or, where `cell` is None, for all cells."""

    name: str
    folder: str
    targets: tuple[str, ...]
    keys: dict[str, str]  # the identity of each thing that is made here, by its stage
    cell: Cell | None = None
    run_id: str | None = None  # of its MLflow run
    mates: tuple[str, ...] = ()  # folders of the cells that make one line of a table with it

    @property
    def slug(self) -> str:
        """The readable part of a cell's folder."""
        return Path(self.folder).name.rsplit("-", 1)[0]

    @property
    def updates(self) -> int:
        """Images that a cell's fine-tuning goes through, the greater part of its time."""
        if self.cell is None or self.cell.unlearned:
            return 0
        return self.cell.training.steps * self.cell.training.batch * len(self.targets)

    def place(self, store: str | Path) -> Place:
        """Its place in a store."""
        return Place(str(store), self.folder, self.name)

    def output(self, store: str | Path, step: str, name: str, stage: str) -> Output:
        """The file or folder `name`, which `step` makes from what the stage depends on."""
        return Output(self.place(store), step, name, self.keys[stage])

    def cut(self, images: int) -> Spec:
        """The same of its first images alone: what is made and measured of them has identities of its own."""
        own = lambda k: k in ("samples", "row") or k.startswith("metric ") and k != "metric sscd"
        keys = {k: fingerprints.digest([v, images]) if own(k) else v for k, v in self.keys.items()}
        return replace(self, keys=keys)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "cell": to_json(self.cell) if self.cell else None}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Spec:
        """What `to_json` gave. Raises ValueError for anything else, such as a folder outside of a run's."""
        cell = given.get("cell") if isinstance(given, dict) else None
        if cell is not None and not isinstance(cell, dict):
            raise ValueError(f"cell: got {shown(cell)}; give a mapping")
        spec = build(cls, {**given, "cell": read_cell(cell)} if cell else given, "spec")
        if not re.fullmatch(SHARED if spec.cell is None else r"cells/[a-z0-9][\w+.-]*", spec.folder):
            raise ValueError(f"spec.folder is {shown(spec.folder)}, which is no folder of a run's")
        lacking = [k for k in (KEYS if spec.cell is None else KEYS_OF_CELL) if k not in spec.keys]
        if lacking:
            raise ValueError(f"spec.keys: no {lacking[0]}")
        return spec

    def to_text(self) -> str:
        """What is kept beside a cell's results."""
        return json.dumps(self.to_json(), indent=1)

    @classmethod
    def from_text(cls, text: str) -> Spec:
        """What `to_text` wrote."""
        return cls.from_json(records.parsed(text.encode(), "cell.json", dict))


@dataclass(frozen=True)
class Run:
    """Everything that was planned."""

    experiment: Experiment
    shared: Spec
    cells: tuple[Spec, ...]
    shards: tuple[Shard, ...]
    key: str

    def of(self, folder: str) -> Spec:
        """The spec of a folder's name. Raises ValueError where another sweep was planned here since."""
        for spec in (self.shared, *self.cells):
            if Path(spec.folder).name == folder:
                return spec
        raise ValueError(
            f"{folder} is no cell of the sweep that was planned last; give each sweep a store of its own"
        )

    def longest_first(self) -> list[Spec]:
        """Cells in the order in which they are started, so that none is left alone at the end."""
        return sorted(self.cells, key=lambda s: -s.updates)

    def id(self, spec: Spec) -> str:
        """What stands for a spec between steps."""
        return f"{self.experiment.name}/{Path(spec.folder).name}"

    def to_text(self) -> str:
        """JSON with the experiment's own keys, and beside them what was planned of it."""
        planned = {
            "shared": self.shared.to_json(),
            "shards": [asdict(s) for s in self.shards],
            "cells": [s.to_json() for s in self.cells],
            "key": self.key,
        }
        return json.dumps({**to_json(self.experiment), **planned}, indent=1)

    @classmethod
    def from_text(cls, text: str, only: str = "", where: str = FILE) -> Run:
        """What `to_text` wrote; `only`: of the cells the one of this folder's name, or all.

        Raises ValueError, one line that begins with `where`, for anything else.
        """
        given = records.parsed(text.encode(errors="replace"), where, dict, **PARTS)
        shared, shards, cells, key = (given.pop(k) for k in PARTS)
        of = lambda c: c.get("folder") if isinstance(c, dict) else None
        wanted = [c for c in cells if not only or str(of(c)).rpartition("/")[2] == only]
        try:
            return cls(
                read_experiment(given),
                Spec.from_json(shared),
                tuple(map(Spec.from_json, wanted)),
                tuple(build(Shard, s, "shard") for s in shards),
                key,
            )
        except ValueError as error:
            raise ValueError(
                f"{where}: damaged ({error}); run the same command again to plan anew"
            ) from error

    def with_runs(self, ids: dict[str, str | None]) -> Run:
        """The same with the cells' MLflow runs, by slug."""
        return replace(self, cells=tuple(replace(s, run_id=ids.get(s.slug)) for s in self.cells))


def read(store: str | Path, cell: str = "") -> Run:
    """The run that was planned in a store; of its cells all, or the one with this id."""
    path = files.fetch(Path(store) / FILE)
    return Run.from_text(path.read_text(errors="replace"), cell.rpartition("/")[2], str(path))


def one(store: str | Path, cell: str) -> tuple[Run, Spec]:
    """The run that was planned in a store, and in it the spec that a step's id stands for."""
    run = read(store, cell)
    return run, run.of(cell.rpartition("/")[2])


def planned(store: str | Path) -> bool:
    """Whether there is a plan in a store."""
    return files.fetch(Path(store) / FILE).is_file()


def shared_spec(targets: tuple[str, ...], keys: dict[str, str]) -> Spec:
    """The spec of what all cells share."""
    return Spec("before", SHARED, targets, keys)

"""World + experiment + overrides to one resolved experiment and its cells."""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from unpromptable.storage import fingerprints

from . import layers, plugins, reading
from .experiment import Cell, Experiment, read_cell, read_experiment, to_json
from .inputs import fingerprint, stamp
from .reading import shown
from .settings import Choice


@dataclass(frozen=True)
class Plan:
    """One experiment, resolved: nothing below this line reads YAML."""

    experiment: Experiment
    cells: tuple[Cell, ...]
    key: str  # identity of everything the cells share: settings, code and input files
    # identities of the files that a cell's editor reads, by the cell's name
    edited: dict[str, list[str]] = field(default_factory=dict)
    measured: tuple[str, ...] = ()  # ... and of those that metrics read

    def targets(self) -> tuple[str, ...]:
        """Every forget image of any cell, in order of first use."""
        return tuple(dict.fromkeys(t for c in self.cells for t in c.forget))

    def shared_spec(self) -> str:
        """The JSON text that steps before the cells read."""
        return json.dumps(
            {
                "experiment": to_json(self.experiment),
                "targets": self.targets(),
                "folder": "shared",
                "key": self.key,
                "name": "before",
            }
        )

    def _row_key(self, cell: Cell) -> str:
        """Identity of a cell's row: measuring something else needs no other training or images."""
        return fingerprints.digest([self._cell_key(cell), to_json(self.experiment)["metrics"], self.measured])

    def cell_specs(self) -> list[dict[str, Any]]:
        """One mapping per cell: what its steps read, and the folder its results go to."""
        shared = {"experiment": to_json(self.experiment)}
        alike = Counter(c.slug for c in self.cells)  # "a+b" and "a-b"
        names = [c.slug if alike[c.slug] == 1 else f"{c.slug}-{c.digest}" for c in self.cells]
        return [
            {
                **shared,
                "cell": to_json(c),
                "targets": c.forget,
                "name": c.name,
                "key": k,
                "folder": f"cells/{name}-{k[:8]}",
                "surrogates": self._surrogates_key(c),
                "row_key": self._row_key(c),
            }
            for c, name, k in zip(self.cells, names, map(self._cell_key, self.cells))
        ]

    def _cell_key(self, cell: Cell) -> str:
        return fingerprints.digest(
            [
                self.key,
                {k: v for k, v in to_json(cell).items() if k not in ("name", "group")},
                self.edited.get(cell.name),
            ]
        )

    def _surrogates_key(self, cell: Cell) -> str:
        """Identity of a cell's surrogates, the same for every cell that can share them."""
        return fingerprints.digest(
            [
                self.key,
                cell.editor.name,
                asdict(cell.editor.made),
                cell.forget,
                cell.training.seed,
                self.edited.get(cell.name),
            ]
        )


def updates(spec: dict[str, Any]) -> int:
    """Images that a cell's fine-tuning goes through, the greater part of its time."""
    training = spec["cell"]["training"]
    return training["steps"] * training["batch"] * len(spec["targets"])


def longest_first(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cells in the order in which they are started, so that none is left alone at the end."""
    return sorted(specs, key=lambda s: -updates(s))


def resolve(text: str, world: str = "", overrides: dict[str, Any] | None = None, inputs: bool = True) -> Plan:
    """The plan of an experiment given as YAML text, a file or the name of one that ships.

    inputs: look for the experiment's files, whose identity is part of the key; without, they are of another
    machine.

    Raises ValueError or FileNotFoundError, one line that names the key, what was found and what is allowed.
    """
    given, sets = read_yaml(text), layers.leaves(overrides or {})
    base_world = read_world(_asked(world, sets.pop("world", None)) or given.get("world") or "miniature")
    given = layers.in_world(given, base_world["world"], worlds())
    common, rows = layers.merge(layers.of_world(base_world, given, sets), given, sets)
    experiment = read_experiment(common)
    cells = tuple(read_cell(row) for row in rows)
    _check_names(cells)
    _check_others(experiment, cells)
    targets = tuple(t for c in cells for t in c.forget)
    shared = {
        k: v
        for k, v in to_json(experiment).items()
        if k not in ("name", "title", "description", "paper", "metrics")
    }
    if inputs:
        _check_model(experiment)
    files = _files(experiment, targets) if inputs else None
    key = fingerprints.digest([shared, sorted(set(targets)), code_digest(), files])
    edited = {c.name: _read_by(c.editor, c.forget, targets) for c in cells} if inputs else {}
    return Plan(
        experiment,
        cells,
        key,
        edited,
        tuple(f for m in experiment.metrics for f in _read_by(m)) if inputs else (),
    )


def _files(experiment: Experiment, targets: tuple[str, ...]) -> list[str]:
    """Identities of the files that every cell depends on: pictures, the base model, networks given as a
    folder.
    """
    own = fingerprint(
        experiment.real, sorted(set(targets)), experiment.model.source, experiment.pictures.links
    )
    return [*own, *(fingerprints.tree(experiment.networks.folder) if experiment.networks.folder else [])]


def _read_by(choice: Choice, *of: tuple[str, ...]) -> list[str]:
    """Identities of the files that an editor or a metric says it will read. Raises where it cannot."""
    return [stamp(f) for f in choice.made.files(*of)] if hasattr(choice.made, "files") else []


def _asked(world: str, override: Any) -> Any:
    """The world of the command line: --world and --set world are the same."""
    if world and override and world != override:
        raise ValueError(f"--set world={shown(override)} and --world {world}: leave one of the two out")
    return world or override


def read_yaml(text: str) -> dict[str, Any]:
    """The experiment's mapping from YAML text, a file's path, or the name of an experiment that ships."""
    where = "experiment"
    if "\n" not in text and (":" not in text or text.endswith((".yaml", ".yml"))):
        reading.check_path(where, text)
        path = Path(text)
        if not path.is_file() and path.name == text:
            path = Path(str(resources.files("pipelines"))) / "experiments" / f"{path.stem}.yaml"
        if not path.is_file():
            ships = sorted(
                p.stem
                for p in (resources.files("pipelines") / "experiments").iterdir()
                if p.name.endswith(".yaml")
            )
            raise FileNotFoundError(
                f"experiment: {text} is neither a file nor one that ships; choose from {', '.join(ships)}, or"
                " give a YAML file"
            )
        where, text = str(path), reading.file(path)
    if "\npipelineInfo:" in f"\n{text}":
        raise ValueError(f"{where}: a compiled pipeline, which only `submit` takes; give an experiment")
    value = reading.value(text, where)
    if not isinstance(value, dict):
        raise ValueError(
            f"{where}: expected a mapping with name, forget and cells, found {type(value).__name__}"
        )
    return value


def read_world(name: str) -> dict[str, Any]:
    """The defaults of a world. Raises ValueError that lists the worlds when there is none of that name."""
    if name not in worlds():
        raise ValueError(f"world: no {shown(name)}; choose from {', '.join(worlds())}")
    return {"world": name, **copy.deepcopy(_shipped(name))}


@cache
def _shipped(name: str) -> dict[str, Any]:
    return reading.value(
        (resources.files("unpromptable") / "worlds" / f"{name}.yaml").read_text(), f"world {name}"
    )


def worlds() -> list[str]:
    """The worlds that ship."""
    return sorted(
        p.name[:-5]
        for p in (resources.files("unpromptable") / "worlds").iterdir()
        if p.name.endswith(".yaml")
    )


@cache
def code_digest() -> str:
    """Identity of the package's code and shipped weights: results made by other code are not reused."""
    root = Path(str(resources.files("unpromptable")))
    drawn_only = ("reporting", "paper", "steps.py", "tracking")  # these cannot change a number
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.suffix in (".py", ".yaml", ".safetensors", ".json") and relative.parts[0] not in drawn_only:
            digest.update(str(relative).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _check_names(cells: tuple[Cell, ...]) -> None:
    names = [c.name.strip().casefold() for c in cells]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"experiment.cells: {names.count(name)} cells are named {shown(name)}; give each its own name"
            )


def _check_model(experiment: Experiment) -> None:
    """The base model's files, where they are here: its family must read them, and sample as the experiment
    asks.
    """
    source, family = experiment.model, plugins.module("model", experiment.model.name)
    shipped = Path(str(resources.files("unpromptable"))) / "miniature" / source.name
    folder = shipped if source.source == "miniature" else Path(source.source)
    if folder.is_dir() and hasattr(family, "check"):
        family.check(folder, experiment)


def _check_others(experiment: Experiment, cells: tuple[Cell, ...]) -> None:
    asking = [c.name for c in cells if c.training.others]
    if asking and not experiment.remember.prompts:
        raise ValueError(
            f"{asking[0]}: training.others asks for images of other prompts, but remember.prompts names none;"
            " name some, or set it to 0"
        )

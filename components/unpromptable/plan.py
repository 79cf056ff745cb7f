"""World + experiment + overrides to one resolved experiment and its cells."""
from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from . import config, data, plugins

CELL = ("method", "editor", "training", "forget")  # what a cell may change; all else belongs to the experiment


@dataclass(frozen=True)
class Plan:
    """One experiment, resolved: nothing below this line reads YAML."""

    experiment: config.Experiment
    cells: tuple[config.Cell, ...]
    key: str  # identity of everything the cells share: settings, code and input files

    def targets(self) -> tuple[str, ...]:
        """Every forget image of any cell, in order of first use."""
        return tuple(dict.fromkeys(t for c in self.cells for t in c.forget))

    def shared_spec(self) -> str:
        """The JSON text that steps before the cells read."""
        return json.dumps({"experiment": config.to_json(self.experiment), "targets": self.targets(), "folder": "shared", "key": self.key, "name": "before"})

    def _row_key(self, cell: config.Cell) -> str:
        """Identity of a cell's row: measuring something else needs no other training or images."""
        return _digest([self._cell_key(cell), config.to_json(self.experiment)["metrics"]])

    def cell_specs(self) -> list[dict[str, Any]]:
        """One mapping per cell: what its steps read, and the folder its results go to."""
        shared = {"experiment": config.to_json(self.experiment)}
        return [{**shared, "cell": config.to_json(c), "targets": c.forget, "name": c.name, "key": k, "folder": f"cells/{c.slug}-{k[:8]}", "surrogates": self._surrogates_key(c), "row_key": self._row_key(c)} for c, k in zip(self.cells, map(self._cell_key, self.cells))]

    def _cell_key(self, cell: config.Cell) -> str:
        return _digest([self.key, {k: v for k, v in config.to_json(cell).items() if k not in ("name", "group")}])

    def _surrogates_key(self, cell: config.Cell) -> str:
        """Identity of a cell's surrogates, the same for every cell that can share them."""
        editor = plugins.make("editor", cell.editor.name, cell.editor.settings)
        return _digest([self.key, cell.editor.name, asdict(editor), cell.forget, cell.training.seed])


def updates(spec: dict[str, Any]) -> int:
    """Images that a cell's fine-tuning goes through, the greater part of its time."""
    training = spec["cell"]["training"]
    return training["steps"] * training["batch"] * len(spec["targets"])


def longest_first(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cells in the order in which they are started, so that none is left alone at the end."""
    return sorted(specs, key=lambda s: -updates(s))


def resolve(text: str, world: str = "", overrides: dict[str, Any] | None = None, inputs: bool = True) -> Plan:
    """The plan of an experiment given as YAML text, a file or the name of one that ships.

    inputs: look for the experiment's files, whose identity is part of the key; without, they are of another machine.

    Raises ValueError or FileNotFoundError that names the key, what was found and what is allowed.
    """
    given = read_yaml(text)
    base_world = read_world(world or given.get("world") or "miniature")
    given = _in_world(given, base_world["world"])
    base_world = _of_family(base_world, given, overrides or {})
    common, rows = _merge(base_world, given, overrides or {})
    experiment = config.read_experiment(common)
    cells = tuple(config.read_cell(row) for row in rows)
    _check_names(cells)
    _check_others(experiment, cells)
    targets = tuple(t for c in cells for t in c.forget)
    shared = {k: v for k, v in config.to_json(experiment).items() if k not in ("name", "title", "description", "paper", "metrics")}
    if inputs:
        _check_model(experiment)
    files = data.fingerprint(experiment.real, sorted(set(targets)), experiment.model.source) if inputs else None
    key = _digest([shared, sorted(set(targets)), code_digest(), files])
    return Plan(experiment, cells, key)


def read_yaml(text: str) -> dict[str, Any]:
    """The experiment's mapping from YAML text, a file's path, or the name of an experiment that ships."""
    where = "experiment"
    if "\n" not in text and ":" not in text or text.endswith((".yaml", ".yml")):
        path = Path(text)
        if not path.is_file():
            path = Path(str(resources.files("pipelines"))) / "experiments" / f"{Path(text).stem}.yaml"
        if not path.is_file():
            ships = sorted(p.stem for p in path.parent.glob("*.yaml"))
            raise FileNotFoundError(f"experiment: {text} is neither a file nor one that ships; choose from {', '.join(ships)}, or give a YAML file")
        where, text = str(path), path.read_text()
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        compiled = "\npipelineInfo:" in f"\n{text}"
        hint = "; it is a compiled pipeline, which only `submit` takes" if compiled else ""
        raise ValueError(f"{where}: not valid YAML: {' '.join(str(error).split())}{hint}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a mapping with name, forget and cells, found {type(value).__name__}")
    return value


def read_world(name: str) -> dict[str, Any]:
    """The defaults of a world. Raises ValueError that lists the worlds when there is none of that name."""
    if name not in worlds():
        raise ValueError(f"world: no {name!r}; choose from {', '.join(worlds())}")
    return {"world": name, **yaml.safe_load((resources.files("unpromptable") / "worlds" / f"{name}.yaml").read_text())}


def worlds() -> list[str]:
    """The worlds that ship."""
    return sorted(p.name[:-5] for p in (resources.files("unpromptable") / "worlds").iterdir() if p.name.endswith(".yaml"))


def _of_family(world: dict[str, Any], given: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """The world's defaults for the experiment's model family laid over its common ones."""
    families = world.get("families") or {}
    model = given.get("model") or {}
    name = overrides.get("model") or overrides.get("model.name") or (model if isinstance(model, str) else model.get("name"))
    plain = {k: v for k, v in world.items() if k != "families"}
    return {**plain, **families[name]} if name in families else plain


def code_digest() -> str:
    """Identity of the package's code and shipped weights: results made by other code are not reused."""
    root = Path(str(resources.files("unpromptable")))
    drawn_only = ("reports", "steps.py", "progress.py", "tracking.py", "figures.py", "tables.py", "rows.py", "parts.py", "groups.py", "pareto.py", "overview.py", "theory.py", "claims.py", "claims.yaml", "cost.py")  # these cannot change a number
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.suffix in (".py", ".yaml", ".safetensors", ".json") and relative.parts[0] not in drawn_only:
            digest.update(str(relative).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _in_world(given: dict, world: str) -> dict:
    """The experiment as it is in one world: what its `worlds` say of that world lies on top of the rest."""
    entries = given.get("worlds") or {}
    for name, entry in entries.items():
        if name not in worlds() or not isinstance(entry, dict) or "name" in entry or "world" in entry:
            raise ValueError(f"experiment.worlds.{name}: got {entry!r}; give one of {', '.join(worlds())} a mapping of what differs there, such as forget and base, but neither name nor world")
    lie = [{k: _named(v) if k == "base" else v for k, v in layer.items() if k != "worlds"} for layer in (given, entries.get(world) or {})]
    return _deep(*lie)


def _merge(world: dict, given: dict, overrides: dict) -> tuple[dict, list[dict]]:
    per_cell = {k: v for k, v in overrides.items() if k.split(".")[0] in CELL}
    known = ("cell", "methods", "editors", "base", "cells", "sweep")
    common = _deep({k: v for k, v in world.items() if k not in known}, {k: v for k, v in given.items() if k not in known})
    common["world"] = world["world"]
    for key, value in overrides.items():
        if key not in per_cell:
            _assign(common, key, value)
    points = _grid({k: [overrides[k]] if k in overrides else v for k, v in (given.get("sweep") or {}).items()})
    common["forget"] = common.get("forget") or list(dict.fromkeys(t for point in points for t in point.get("forget", ())))
    if not common["forget"]:
        raise ValueError("experiment.forget: no forget image; name at least one, a picture of the real images or a file")
    rows = [_row(world, given, row, point, per_cell, common["forget"]) for row in given.get("cells") or [{}] for point in points]
    _check_used(per_cell, rows)
    return common, rows


def _row(world: dict, given: dict, row: dict, point: dict, overrides: dict, forget: list) -> dict:
    if not isinstance(row, dict):
        raise ValueError(f"experiment.cells: got {row!r}; each cell is a mapping such as {{name: Ours, method: surrogate}}")
    layers = [_named(x) for x in (world.get("cell") or {}, given.get("base") or {}, row)]
    method = next(layer["method"]["name"] for layer in reversed(layers) if "method" in layer)
    cell = _deep(layers[0], _named((world.get("methods") or {}).get(method) or {}))
    cell.setdefault("forget", list(forget))
    for layer in layers[1:]:
        cell = _deep(cell, layer)
    for key, value in point.items():
        _assign(cell, key, value)
    for key, value in overrides.items():
        kind, _, name = key.partition(".")
        if kind in ("training", "forget") or not name or name == "name" or name in _fields(kind, cell[kind]["name"]):
            _assign(cell, key, {"name": value} if kind in ("method", "editor") and not name else value)
    chosen, defaults = cell["editor"], (world.get("editors") or {}).get(cell["editor"]["name"]) or {}
    cell["editor"] = {**chosen, "settings": {**defaults, **chosen.get("settings", {})}}
    setting = ", ".join(f"{k.split('.')[-1].replace('_', ' ')} {v}" for k, v in point.items() if k != "forget")
    cell["name"] = " ".join(x for x in (row.get("name", ""), setting) if x) or cell["method"]["name"]
    if "forget" in point:
        cell = {**cell, "group": cell.get("group") or cell["name"], "name": f"{cell['name']}, {'+'.join(Path(t).stem for t in point['forget'])}"}
    return cell


def _named(layer: dict) -> dict:
    """Choices written as a bare word become mappings."""
    return {k: {"name": v} if k in ("method", "editor") and isinstance(v, str) else v for k, v in layer.items()}


def _deep(base: dict, over: dict) -> dict:
    """`over` on top of `base`; a choice of another name replaces the old one with its settings."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _deep(old, value) if both and (key in ("sampling", "injection", "networks", "training", "model", "remember") or old.get("name") == value.get("name", old.get("name"))) else value
    return merged


def _assign(target: dict, key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        inner = target.get(part)
        target[part] = inner = {"name": inner} if isinstance(inner, str) else dict(inner or {})
        target = inner
    target[last] = value


def _grid(sweep: dict) -> list[dict]:
    for key, values in sweep.items():
        if not isinstance(values, list) or not values or key.split(".")[0] not in CELL:
            raise ValueError(f"experiment.sweep.{key}: got {values!r}; give a list of values for a key of {', '.join(CELL)}")
        if key == "forget" and not all(isinstance(v, list) and v for v in values):
            raise ValueError(f"experiment.sweep.forget: got {values!r}; give a list of lists, the targets of each point, such as [[one], [two], [three, four]]")
    return [dict(zip(sweep, point)) for point in itertools.product(*sweep.values())]


def _fields(kind: str, name: str) -> list[str]:
    return [f.name for f in fields(getattr(plugins.module(kind, name), kind.capitalize()))]


def _check_used(overrides: dict, rows: list[dict]) -> None:
    for key in overrides:
        kind, _, name = key.partition(".")
        if kind in ("method", "editor") and name and name != "name" and not any(name in _fields(kind, row[kind]["name"]) for row in rows):
            raise ValueError(f"--set {key}: no {kind} of this experiment has a setting {name!r}")


def _check_names(cells: tuple[config.Cell, ...]) -> None:
    slugs = [c.slug for c in cells]
    for slug in slugs:
        if slugs.count(slug) > 1:
            raise ValueError(f"experiment.cells: {slugs.count(slug)} cells are named {slug!r}; give each its own name")


def _check_model(experiment: config.Experiment) -> None:
    """The base model's files, where they are here: its family must read them, and sample as the experiment asks."""
    source, family = experiment.model, plugins.module("model", experiment.model.name)
    shipped = Path(str(resources.files("unpromptable"))) / "miniature" / source.name
    folder = shipped if source.source == "miniature" else Path(source.source)
    if folder.is_dir() and hasattr(family, "check"):
        family.check(folder, experiment)


def _check_others(experiment: config.Experiment, cells: tuple[config.Cell, ...]) -> None:
    asking = [c.name for c in cells if c.training.others]
    if asking and not experiment.remember.prompts:
        raise ValueError(f"{asking[0]}: training.others asks for images of other prompts, but remember.prompts names none; name some, or set it to 0")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()

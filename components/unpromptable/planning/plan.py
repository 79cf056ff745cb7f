"""World + experiment + overrides to one resolved experiment and its cells."""

from __future__ import annotations

import copy
import json
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from . import inputs as files
from . import layers, merging, pinned, plugins, reading
from .experiment import Cell, Experiment, read_cell, read_experiment, to_json
from .laid import Laid
from .reading import shown
from .shards import shards
from .spec import Run, Shard, Spec, shared_spec
from .stages import Stages

DEFAULT_WORLD, NOBODY = "miniature", "the world where none is named"


@dataclass(frozen=True)
class Plan:
    """One experiment, resolved: nothing below this line reads YAML."""

    experiment: Experiment
    cells: tuple[Cell, ...]
    read: files.Read = (
        files.Read()
    )  # identities of the files that it names; none where these are another machine's

    def targets(self) -> tuple[str, ...]:
        """Every forget image of any cell, in order of first use."""
        return tuple(dict.fromkeys(t for c in self.cells for t in c.forget))

    @cached_property
    def stages(self) -> Stages:
        """The identity of each thing that is made."""
        return Stages(self.experiment, self.targets(), self.read)

    @property
    def key(self) -> str:
        """Identity of everything that the cells share: settings, code and input files."""
        return self.stages.sweep

    def run(self, images_per_shard: int = 0) -> Run:
        """What the steps read, with a spec per cell and the folder that its results go to."""
        alike = Counter(c.slug for c in self.cells)  # "a+b" and "a-b"
        named = {f"{c.slug}-{c.digest}" for c in self.cells}  # what a cell may not be called by chance
        plain = lambda c: alike[c.slug] == 1 and c.slug not in named
        slugs = [c.slug if plain(c) else f"{c.slug}-{c.digest}" for c in self.cells]
        pieces = shards(self.experiment.sampling, images_per_shard)
        specs = tuple(map(self._spec, self.cells, slugs))
        return Run(
            self.experiment,
            shared_spec(self.targets(), self._shared_keys()),
            self._in_lines(specs),
            tuple(Shard(**piece) for piece in pieces),
            self.key,
        )

    def _shared_keys(self) -> dict[str, str]:
        made = self.stages
        return {"pretrained": made.pretrained, "data": made.data, "samples": made.before}

    def _in_lines(self, specs: tuple[Spec, ...]) -> tuple[Spec, ...]:
        """The specs with their mates, and the key of what all of a line decide together."""
        lines: dict[str, list[Spec]] = {}
        for spec in specs:
            lines.setdefault(_line(spec), []).append(spec)
        keys = {k: self.stages.decision([s.cell for s in line if s.cell]) for k, line in lines.items()}
        mates = lambda s: tuple(m.folder for m in lines[_line(s)] if m is not s)
        return tuple(replace(s, mates=mates(s), keys={**s.keys, "decision": keys[_line(s)]}) for s in specs)

    def _spec(self, cell: Cell, slug: str) -> Spec:
        made = self.stages
        keys = {
            "surrogates": made.surrogates(cell),
            "unlearned": made.unlearned(cell),
            "samples": made.after(cell),
            "row": made.row(cell),
            **{f"metric {m.name}": made.metric(cell, m) for m in self.experiment.metrics},
        }
        return Spec(cell.name, f"cells/{slug}-{keys['unlearned'][:8]}", cell.forget, keys, cell)


def _line(spec: Spec) -> str:
    """What the cells of one line of a table have in common: all but name, targets and training seed, and the
    folder of what was unlearned elsewhere, where a group says so.
    """
    said = to_json(spec.cell)
    said["training"].pop("seed")
    if said["group"] and said["unlearned"]:
        said["unlearned"] = "any"
    return json.dumps(
        {k: v for k, v in said.items() if k not in ("name", "forget")}, sort_keys=True, default=str
    )


def resolve(text: str, world: str = "", overrides: dict[str, Any] | None = None, inputs: bool = True) -> Plan:
    """The plan of an experiment given as YAML text, a file or the name of one that ships.

    inputs: look for the experiment's files, whose identity is part of the key; without, they are of another
    machine.

    Raises ValueError or FileNotFoundError, one line that names the key, what was found and what is allowed.
    """
    common, rows = merged(text, world, overrides)
    experiment = read_experiment(common)
    cells = tuple(read_cell(row) for row in rows)
    _check_names(cells)
    _check_others(experiment, cells)
    _check_stop(experiment)
    if inputs:
        _check_reports()
        pinned.check(experiment.networks)
        _check_model(experiment)
    return Plan(experiment, cells, files.read(experiment, cells) if inputs else files.Read())


def merged(text: str, world: str = "", overrides: dict[str, Any] | None = None) -> tuple[Laid, list[Laid]]:
    """The experiment's settings and those of each cell, every value with the layer that said it."""
    given, sets = read_yaml(text), layers.leaves(overrides or {})
    set_world, full = sets.pop("world", None), sets.pop(layers.FULL, False)
    if not isinstance(full, bool):
        raise ValueError(f"--set full: got {shown(full)}; give true for more targets and images, or false")
    name = _asked(world, set_world) or given.get("world") or DEFAULT_WORLD
    defaults = read_world(name)
    given = layers.in_world(given, name, worlds(), full)
    common, rows = merging.merge(merging.of_world(defaults, given, sets), given, sets)
    said = [(world, "--world"), (set_world, "--set"), (given.get("world"), "experiment"), (name, NOBODY)]
    common.say("world", name, next(layer for asked, layer in said if asked))
    return common, rows


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
                p.name.removesuffix(".yaml")
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


def has_full(text: str, world: str) -> bool:
    """Whether an experiment says what it is with more targets and images in a world (`--set full=true`)."""
    return layers.FULL in ((read_yaml(text).get("worlds") or {}).get(world) or {})


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
    folder = files.base_folder(experiment)
    if folder.is_dir():
        experiment.family.check(folder, experiment)


def _check_reports() -> None:
    """Those of other packages, which no experiment names and every run writes."""
    for name in plugins.added("report"):
        plugins.make("report", name)


def _check_stop(experiment: Experiment) -> None:
    s = experiment.sampling
    if s.stop != "none" and s.when == "always":
        raise ValueError(
            f"sampling.stop is {s.stop}, which compares cells that forget; set sampling.when=forgets"
        )


def _check_others(experiment: Experiment, cells: tuple[Cell, ...]) -> None:
    asking = [c.name for c in cells if c.training.others]
    if asking and not experiment.remember.prompts:
        raise ValueError(
            f"{asking[0]}: training.others asks for images of other prompts, but remember.prompts names none;"
            " name some, or set it to 0"
        )

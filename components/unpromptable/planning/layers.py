"""World, experiment, cell, sweep and overrides laid over one another: plain mappings, not yet typed."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

from unpromptable.miniature import sources

from . import plugins
from .reading import check_path, shown
from .validation import fields_of

# what a cell may change; all else belongs to the experiment
CELL = ("method", "editor", "training", "forget")
CHOICES = ("method", "editor")  # of another name, they replace what lies under them
NAMED = (*CHOICES, "model", "networks")  # a bare word is their name
BLOCKS = (*NAMED, "training", "sampling", "injection", "remember", "pictures", "quality")
SHAPE = ("base", "cells", "sweep", "worlds")  # of an experiment's YAML, rather than a setting
OF_WORLD = ("cell", "methods", "editors", "families", "reals")  # of a world's YAML alone
MOST = 1000  # cells of one experiment


def leaves(overrides: dict[str, Any]) -> dict[str, Any]:
    """Overrides as dotted keys of single settings, so that `training={steps: 3}` says no more than
    `training.steps=3`.
    """
    if not isinstance(overrides, dict):
        raise ValueError(
            f"overrides: got {shown(overrides)}; give a mapping of keys such as training.steps to values"
        )
    found: dict[str, Any] = {}
    for key, value in overrides.items():
        head, *rest = str(key).split(".")
        if head in SHAPE or head in OF_WORLD:
            raise ValueError(
                f"--set {key[:60]}: {head} is no setting of its own; set what it holds, such as"
                " training.steps=60 or method.beta=1e-4"
            )
        rest = rest[1:] if head in NAMED and rest[:1] == ["settings"] else rest
        if not rest and head in NAMED and isinstance(value, str):
            rest = ["name"]
        if not rest and head in BLOCKS and isinstance(value, dict):
            found |= leaves(
                {
                    f"{head}.{k}": v
                    for k, v in (_folded(value, f"--set {head}") if head in NAMED else value).items()
                }
            )
        else:
            found[".".join((head, *rest))] = value
    return found


def nest(flat: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys to nested mappings."""
    out: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        inner = out
        for part in path:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ValueError(
                    f"--set {shown(key)}: {shown(part)} is {shown(inner)} as a whole; leave one of the"
                    " two out"
                )
        inner[last] = value
    return out


def layer(given: Any, where: str) -> dict[str, Any]:
    """One layer in its normal form: blocks are mappings, targets a list. Raises ValueError where one is
    anything else.
    """
    if not isinstance(given, dict):
        raise ValueError(f"{where}: got {shown(given)}; give a mapping such as {{training: {{steps: 60}}}}")
    out = {}
    for key, value in given.items():
        at = f"{where} {key}" if where == "--set" else f"{where}.{key}"
        if key in NAMED and isinstance(value, str):
            value = {"name": value}
        if key == "forget":
            value = targets(value, at)
        elif key in BLOCKS and value is None:
            continue  # `training:` with nothing under it says nothing
        elif key in BLOCKS and not isinstance(value, dict):
            raise ValueError(
                f"{at}: got {shown(value)}; give {'a name or ' if key in NAMED else ''}a mapping of its"
                " settings"
            )
        elif key in NAMED:
            value = _folded(value, at)
        out[key] = value
    return out


def _folded(value: dict, where: str) -> dict:
    """A choice's settings beside its name, wherever they were given."""
    inner = value.get("settings")
    if inner is not None and not isinstance(inner, dict):
        raise ValueError(f"{where}.settings: got {shown(inner)}; give a mapping")
    if not isinstance(value.get("name", ""), str):
        raise ValueError(f"{where}.name: got {shown(value['name'])}; give a word")
    return {**{k: v for k, v in value.items() if k != "settings"}, **(inner or {})}


def targets(value: Any, where: str, several: bool = True) -> list[str]:
    """The names of forget images: a word is a list of one. Raises ValueError for other things, and for one
    named twice.
    """
    names = (
        [value]
        if isinstance(value, str)
        else value
        if isinstance(value, (list, tuple))
        else [value]
        if value is not None
        else []
    )
    for name in names:
        if not isinstance(name, str):
            raise ValueError(
                f"{where}: got {shown(name)}; give the names of pictures, in quotes where they look like"
                " numbers"
            )
        check_path(where, name)
    paths = [str(Path(n)) for n in names]
    for name, path in zip(names, paths):
        if paths.count(path) > 1:
            raise ValueError(
                f"{where}: {name} is named {paths.count(path)} times; name each forget image once"
            )
    return list(names)


def lay(base: dict, over: dict) -> dict:
    """`over` on top of `base`, mapping by mapping; a choice of another name replaces the old one with its
    settings.
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        same = both and (key not in CHOICES or old.get("name") == value.get("name", old.get("name")))
        merged[key] = lay(old, value) if same else value
    return merged


def in_world(given: dict, world: str, worlds: list[str]) -> dict:
    """The experiment as it is in one world: what its `worlds` say of that world lies on top of the rest."""
    entries = given.get("worlds") or {}
    if not isinstance(entries, dict):
        raise ValueError(
            f"experiment.worlds: got {shown(entries)}; give one of {', '.join(worlds)} a mapping of what"
            " differs there"
        )
    for name, entry in entries.items():
        if name not in worlds or not isinstance(entry, dict) or "name" in entry or "world" in entry:
            raise ValueError(
                f"experiment.worlds.{name[:60]}: got {shown(entry)}; give one of {', '.join(worlds)} a"
                " mapping of what differs there, such as forget and base, but neither name nor world"
            )
    both = [
        experiment(g, f"experiment{at}")
        for g, at in ((given, ""), (entries.get(world) or {}, f".worlds.{world}"))
    ]
    return lay(*both)


def experiment(given: dict, where: str) -> dict:
    """An experiment's YAML, its blocks and its base in their normal form, without its `worlds`."""
    out = layer(
        {k: v for k, v in given.items() if k != "worlds" and (v is not None or k not in SHAPE)}, where
    )
    if "base" in out:
        out["base"] = cell_layer(out["base"], f"{where}.base", ("group",))
    return out


def cell_layer(given: Any, where: str, more: tuple[str, ...]) -> dict:
    """What all cells or one of them say. Raises ValueError for what no cell has."""
    out = layer(given, where)
    for key in out:
        if key not in (*CELL, *more):
            raise ValueError(f"{where}: no setting {shown(key)}; choose from {', '.join((*more, *CELL))}")
    for key in more:
        if not isinstance(out.get(key, ""), str):
            raise ValueError(
                f"{where}.{key}: got {shown(out[key])}; give a word, in quotes where it looks like a number"
            )
    if out.get("forget") == []:
        raise ValueError(f"{where}.forget: no forget image; name at least one, or leave it to the experiment")
    return out


def of_world(world: dict, given: dict, sets: dict) -> dict:
    """A world's defaults for this experiment: of its model's family, and of where its real images come from.

    What was made for the pictures that ship (whose they are, what was trained on them) holds for those alone.
    """
    model = sets.get("model.name", (given.get("model") or {}).get("name"))
    plain = {k: v for k, v in world.items() if k != "families"}
    families = world.get("families") or {}
    mine = {**plain, **families[model]} if isinstance(model, str) and model in families else plain
    real = sets.get("real", given.get("real", mine.get("real")))
    if not isinstance(real, str):
        raise ValueError(f"real: got {shown(real)}; give a folder of images, or a source that ships")
    check_path("real", real)
    reals = mine.pop("reals", None) or {}
    kind = real.partition("/")[0] if sources.drawn_by(real) else "folder"
    tied = reals.get(kind, reals.get("folder", {}))
    sides = [{**layer(w, "world"), "cell": layer(w.get("cell") or {}, "world.cell")} for w in (mine, tied)]
    made = lay(*sides)
    asked = layer({k: v for k, v in nest(sets).items() if k == "model"}, "--set").get("model", {})
    if "source" not in lay(made["model"], lay(given.get("model") or {}, asked)):
        raise ValueError(
            f"model.source: name the model that was trained on {real}; the one that ships knows its own drawn"
            f" pictures alone (python -m pipelines train {real} --out my-model makes one, then --set"
            " model.source=my-model)"
        )
    return made


def merge(world: dict, given: dict, sets: dict) -> tuple[dict, list[dict]]:
    """The experiment's own mapping and one per cell."""
    per_cell = {k: v for k, v in sets.items() if k.split(".")[0] in CELL}
    on_top = layer(nest({k: v for k, v in sets.items() if k not in per_cell}), "--set")
    common = lay(
        {k: v for k, v in world.items() if k not in OF_WORLD},
        {k: v for k, v in given.items() if k not in SHAPE},
    )
    common = {**lay(common, on_top), "world": world["world"]}
    points, cells = _grid(given.get("sweep"), per_cell), _cells(given.get("cells"))
    if len(points) * len(cells) > MOST:
        raise ValueError(
            f"experiment: {len(cells)} cells at {len(points):,} points of the sweep each; at most {MOST}"
            " cells are run at once"
        )
    if "forget" in per_cell:
        common["forget"] = targets(per_cell["forget"], "--set forget")
    own = [t for part in (*points, *cells) for t in part.get("forget", ())]
    common["forget"] = common.get("forget") or list(dict.fromkeys(own))
    if not common["forget"] or per_cell.get("forget", True) in ([], None):
        raise ValueError(
            "experiment.forget: no forget image; name at least one, a picture of the real images or a file"
        )
    rows = [_row(world, given, row, point, per_cell, common["forget"]) for row in cells for point in points]
    _check_used(per_cell, rows)
    return common, rows


def _cells(given: Any) -> list[dict]:
    if given is None or given == []:
        return [{}]
    if not isinstance(given, list):
        raise ValueError(
            f"experiment.cells: got {shown(given)}; give a list of cells such as [{{name: Ours, method:"
            " surrogate}]"
        )
    if bad := [row for row in given if not isinstance(row, dict)]:
        raise ValueError(
            f"experiment.cells: got {shown(bad[0])}; each cell is a mapping such as {{name: Ours, method:"
            " surrogate}"
        )
    return [cell_layer(row, f"experiment.cells {k}", ("name", "group")) for k, row in enumerate(given, 1)]


def _row(world: dict, given: dict, row: dict, point: dict, sets: dict, forget: list) -> dict:
    """One cell: the world's, its method's, the base's, its own, the sweep's and the overrides' settings."""
    names = layer(nest({k: v for k, v in sets.items() if k in ("method.name", "editor.name")}), "--set")
    own = [given.get("base") or {}, row, layer(nest(leaves(point)), "experiment.sweep"), names]
    method = next(
        x["method"]["name"] for x in reversed([world["cell"], *own]) if "name" in x.get("method", ())
    )
    own = [
        (
            x
            if x.get("method", {}).get("name", method) == method
            else {k: v for k, v in x.items() if k != "method"}
        )
        for x in own
    ]
    cell = lay(world["cell"], layer((world.get("methods") or {}).get(method) or {}, "world.methods"))
    cell.setdefault("forget", list(forget))
    for one in own:
        cell = lay(cell, one)
    fits = {
        k: v
        for k, v in sets.items()
        if k.split(".")[0] not in CHOICES or k.partition(".")[2] in _fields(k.split(".")[0], cell)
    }
    cell = lay(cell, layer(nest(fits), "--set"))
    defaults = (world.get("editors") or {}).get(cell["editor"]["name"]) or {}
    cell["editor"] = {**defaults, **cell["editor"]}
    setting = ", ".join(
        f"{k.split('.')[-1].replace('_', ' ')} {v}" for k, v in point.items() if k != "forget"
    )
    cell["name"] = " ".join(x for x in (row.get("name", ""), setting) if x) or cell["method"]["name"]
    if "forget" in point:
        cell = {
            **cell,
            "group": cell.get("group") or cell["name"],
            "name": f"{cell['name']}, {'+'.join(Path(t).stem for t in point['forget'])}",
        }
    return cell


def _fields(kind: str, cell: dict) -> list[str]:
    """What an override may set of a cell's method or editor."""
    return [
        "",
        "name",
        *fields_of(plugins.find(kind, cell[kind]["name"])),
    ]


def _grid(sweep: Any, sets: dict) -> list[dict]:
    """The points of a sweep; what an override sets is not swept."""
    if not isinstance(sweep or {}, dict):
        raise ValueError(
            f"experiment.sweep: got {shown(sweep)}; give a mapping of keys such as method.beta to lists of"
            " values"
        )
    lists = {}
    for key, values in (sweep or {}).items():
        if not isinstance(values, list) or not values or key.split(".")[0] not in CELL:
            raise ValueError(
                f"experiment.sweep.{key[:60]}: got {shown(values)}; give a list of values for a key of"
                f" {', '.join(CELL)}"
            )
        if key == "forget" and not all(isinstance(v, list) and v for v in values):
            raise ValueError(
                f"experiment.sweep.forget: got {shown(values)}; give a list of lists, the targets of each"
                " point, such as [[one], [two], [three, four]]"
            )
        lists[key] = [targets(v, "experiment.sweep.forget") for v in values] if key == "forget" else values
    for key in lists:
        said = key if key in sets else f"{key}.name" if f"{key}.name" in sets else None
        lists[key] = (
            lists[key]
            if said is None
            else [targets(sets[said], "--set forget") if key == "forget" else sets[said]]
        )
    if math.prod(map(len, lists.values())) > MOST:
        raise ValueError(
            f"experiment.sweep: {math.prod(map(len, lists.values())):,} points; at most {MOST} cells are run"
            " at once"
        )
    return [dict(zip(lists, point)) for point in itertools.product(*lists.values())]


def _check_used(sets: dict, rows: list[dict]) -> None:
    for key in sets:
        kind, _, name = key.partition(".")
        if kind in CHOICES and not any(name in _fields(kind, row) for row in rows):
            raise ValueError(f"--set {key[:60]}: no {kind} of this experiment has a setting {shown(name)}")

"""World, experiment, cells, sweep and overrides laid over one another: plain mappings, not yet typed.

From the lowest layer to the highest: a world's own (of the model's family, of where the real images come
from), the world's for a cell's method and editor, the experiment's with what its `worlds` say of the chosen
one, its `base`, the cell's own, its point of the sweep, and what the command line sets.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unpromptable.miniature import sources

from . import plugins
from .laid import CHOICES, Laid, lay
from .layers import CELL, OF_WORLD, ORIGIN, SHAPE, cell_layer, layer, leaves, nest, targets
from .reading import check_path, named, shown
from .validation import fields_of

MOST = 10_000  # cells of one experiment
ON_TOP = "--set"
TARGETS = "forget"
UNTUNED = ("name", "seed")  # of a method and a training: what nobody tunes
REPEATED = (TARGETS, "training.seed")  # in which the cells of one line of a table differ
OF_CELLS = "what cells and sweep name"  # who says the experiment's targets where it names none itself


def of_world(world: dict, given: Laid, sets: dict) -> Laid:
    """A world's defaults for this experiment: of its model's family, and of where its real images come from.

    What was made for the pictures that ship (whose they are, what was trained on them) holds for those alone.
    Raises ValueError where the real images are somebody's own and the model is not named.
    """
    at = f"world {world['world']}"
    model = sets.get("model.name", (given.get("model") or {}).get("name"))
    mine, tied, tied_at = _world_layer(world, at), world.get("reals") or {}, at
    family = (world.get("families") or {}).get(model) if isinstance(model, str) else None
    if family is not None:  # its blocks stand in place of the world's
        over = _world_layer(family, f"{at}: families.{model}")
        mine = Laid({**mine, **over}, {**mine.said, **over.said})
        if "reals" in family:
            tied, tied_at = family["reals"] or {}, f"{at}: families.{model}"
    real = sets.get("real", given.get("real", mine.get("real")))
    if not isinstance(real, str):
        raise ValueError(f"real: got {shown(real)}; give a folder of images, or a source that ships")
    check_path("real", real)
    kind = real.partition("/")[0] if sources.drawn_by(real) else "folder"
    kind = kind if kind in tied else "folder"
    made = lay(mine, _world_layer(tied.get(kind, {}), _inside(tied_at, f"reals.{kind}")))
    asked = layer({k: v for k, v in nest(sets).items() if k == "model"}, ON_TOP).get("model", {})
    if "source" not in {**made["model"], **(given.get("model") or {}), **asked}:
        raise ValueError(
            f"model.source: name the model that was trained on {real}; the one that ships knows its own drawn"
            f" pictures alone (python -m pipelines train {real} --out my-model makes one, then --set"
            " model.source=my-model)"
        )
    return made


def _world_layer(part: dict, at: str) -> Laid:
    """A part of a world's YAML in its normal form: settings, and those of cells, methods and editors."""
    out = layer({k: v for k, v in part.items() if k not in OF_WORLD and k != "world"}, at)
    inside = {"cell": part["cell"]} if "cell" in part else {}
    for kind, of in (("methods", lambda v: v), ("editors", lambda v: {"editor": v})):
        inside |= {f"{kind}.{name}": of(value or {}) for name, value in (part.get(kind) or {}).items()}
    for path, value in inside.items():
        kind, _, name = path.partition(".")
        one = layer(value or {}, _inside(at, path))
        out.say(kind, lay(out.get(kind, Laid()), Laid({name: one}, {name: at})) if name else one, at)
    return out


def _inside(at: str, part: str) -> str:
    return f"{at}.{part}" if ": " in at else f"{at}: {part}"


def merge(world: Laid, given: Laid, sets: dict) -> tuple[Laid, list[Laid]]:
    """The experiment's own mapping and one per cell."""
    per_cell = {k: v for k, v in sets.items() if k.split(".")[0] in CELL}
    on_top = layer(nest({k: v for k, v in sets.items() if k not in per_cell}), ON_TOP)
    common = lay(lay(world.without(OF_WORLD), given.without(SHAPE)), on_top)
    swept, per_cell = _restricted(given.get("sweep"), per_cell)
    points = _grid(swept, per_cell)
    cells = _cells(given.get("cells"), given.said.get("cells", "experiment"))
    if len(points) * len(cells) > MOST:
        raise ValueError(
            f"experiment: {len(cells)} cells at {len(points):,} points of the sweep each; at most {MOST}"
            " cells are run at once"
        )
    if "forget" in per_cell:
        common.say("forget", targets(per_cell["forget"], "--set forget"), ON_TOP)
    if not common.get("forget"):
        own = [t for part in (*points, *cells) for t in part.get("forget", ())]
        common.say("forget", list(dict.fromkeys(own)), OF_CELLS)
    if not common["forget"] or per_cell.get("forget", True) in ([], None):
        raise ValueError(
            "experiment.forget: no forget image; name at least one, a picture of the real images or a file"
        )
    by = lambda key: "experiment.sweep" if swept[key] is given["sweep"][key] else ON_TOP
    rows = [_row(world, given, row, point, by, per_cell, common) for row in cells for point in points]
    _check_used(per_cell, rows)
    return common, rows


def _cells(given: Any, where: str) -> list[Laid]:
    if given is None or given == []:
        return [Laid()]
    if not isinstance(given, list):
        raise ValueError(
            f"{where}.cells: got {shown(given)}; give a list of cells such as [{{name: Ours, method:"
            " surrogate}]"
        )
    if bad := [row for row in given if not isinstance(row, dict)]:
        raise ValueError(
            f"{where}.cells: got {shown(bad[0])}; each cell is a mapping such as {{name: Ours, method:"
            " surrogate}"
        )
    return [
        cell_layer(row, f"{where}.cells {k}", ("name", "group", ORIGIN, "unlearned"))
        for k, row in enumerate(given, 1)
    ]


def _restricted(sweep: Any, sets: dict) -> tuple[Any, dict]:
    """The sweep and the overrides, where the command line gives swept keys a list of values in place of
    theirs: fewer targets or seeds, or others.
    """
    if not isinstance(sweep, dict):
        return sweep, sets
    mine = {k: v for k, v in sets.items() if k in sweep and _several(v, sweep[k])}
    return {**sweep, **mine}, {k: v for k, v in sets.items() if k not in mine}


def _several(value: Any, values: Any) -> bool:
    """Whether an override is a list of such values as a sweep goes through, rather than one of them."""
    if not isinstance(value, list) or not value or not isinstance(values, list) or not values:
        return False
    return all(isinstance(v, list) == isinstance(values[0], list) for v in value)


def _row(
    world: Laid, given: Laid, row: Laid, point: dict, by: Callable[[str], str], sets: dict, common: Laid
) -> Laid:
    """One cell: the world's, its method's, the base's, its own, the sweep's and the overrides' settings.

    by: who says a swept key's values.
    """
    names = layer(nest({k: v for k, v in sets.items() if k in ("method.name", "editor.name")}), ON_TOP)
    swept = [layer(nest(leaves({k: v})), by(k)) for k, v in point.items()]
    own = [given.get("base", Laid()), row, *swept, names]
    named = [x["method"]["name"] for x in [world["cell"], *own] if "name" in x.get("method", ())]
    method = named[-1]
    cell = _over(world["cell"], world.get("methods", {}).get(method, Laid()))
    if "forget" not in cell:
        cell.say("forget", list(common["forget"]), common.said["forget"])
    for one in own:
        other = one.get("method", {}).get("name", method) != method
        cell = _over(cell, one.without(("method",)) if other else one)
    cell = _over(cell, layer(nest({k: v for k, v in sets.items() if _fits(k, cell)}), ON_TOP))
    defaults = world.get("editors", {}).get(cell["editor"]["name"], Laid()).get("editor", Laid())
    cell["editor"] = lay(defaults, cell["editor"])
    _name(cell, row, point)
    return cell


def _over(cell: Laid, one: Laid) -> Laid:
    """`one` on top of a cell's settings, whose origin goes where it changes what that is of."""
    changes = [k for block in ("method", "training") for k in one.get(block, ()) if k not in UNTUNED]
    return lay(cell.without((ORIGIN,)) if changes else cell, one)


def _name(cell: Laid, row: Laid, point: dict) -> None:
    """Name a cell by its own name and its point; where targets or training seeds are swept, those of one
    group differ in them alone.
    """
    name, line = (_said(cell, row, point, apart) for apart in ((TARGETS,), REPEATED))
    cell["name"] = name
    if any(k in point for k in REPEATED):
        cell["group"] = cell.get("group") or line
    if TARGETS in point:
        cell["name"] = f"{name}, {'+'.join(Path(t).stem for t in point[TARGETS])}"


def _said(cell: Laid, row: Laid, point: dict, apart: tuple[str, ...]) -> str:
    """A cell's own name and its point of the sweep, without the keys that are `apart`."""
    said = [f"{k.split('.')[-1].replace('_', ' ')} {v}" for k, v in point.items() if k not in apart]
    return " ".join(x for x in (row.get("name", ""), ", ".join(said)) if x) or cell["method"]["name"]


def _fits(key: str, cell: dict) -> bool:
    """Whether an override sets anything of this cell: not a setting that its method or editor lacks."""
    kind, _, name = key.partition(".")
    return kind not in CHOICES or name in _fields(kind, cell)


def _fields(kind: str, cell: dict) -> list[str]:
    """What an override may set of a cell's method or editor."""
    return ["", "name", *fields_of(plugins.find(kind, cell[kind]["name"]))]


def _grid(sweep: Any, sets: dict) -> list[dict]:
    """The points of a sweep; what an override sets is not swept."""
    if not isinstance(sweep or {}, dict):
        raise ValueError(
            f"experiment.sweep: got {shown(sweep)}; give a mapping of keys such as method.beta to lists of"
            " values"
        )
    lists = {key: _swept(key, values, sets) for key, values in (sweep or {}).items()}
    points = math.prod(map(len, lists.values()))
    if points > MOST:
        raise ValueError(f"experiment.sweep: {points:,} points; at most {MOST} cells are run at once")
    return [dict(zip(lists, point)) for point in itertools.product(*lists.values())]


def _swept(key: str, values: Any, sets: dict) -> list:
    """The values that one key goes through. Raises ValueError where they are no list of them."""
    if not isinstance(values, list) or not values or key.split(".")[0] not in CELL:
        raise ValueError(
            f"experiment.sweep.{named(key)}: got {shown(values)}; give a list of values for a key of"
            f" {', '.join(CELL)}"
        )
    if key == "forget" and not all(isinstance(v, list) and v for v in values):
        raise ValueError(
            f"experiment.sweep.forget: got {shown(values)}; give a list of lists, the targets of each point,"
            " such as [[one], [two], [three, four]]"
        )
    lists = [targets(v, "experiment.sweep.forget") for v in values] if key == "forget" else values
    said = next((k for k in (key, f"{key}.name") if k in sets), None)
    if said is None:
        return lists
    return [targets(sets[said], "--set forget") if key == "forget" else sets[said]]


def _check_used(sets: dict, rows: list[Laid]) -> None:
    for key in sets:
        kind, _, name = key.partition(".")
        if kind in CHOICES and not any(name in _fields(kind, row) for row in rows):
            raise ValueError(f"--set {named(key)}: no {kind} of this experiment has a setting {shown(name)}")

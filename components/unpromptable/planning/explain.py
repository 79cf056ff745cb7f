"""Which layer said a setting's value: read from the merged mappings, whose values know their layers."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass, replace
from functools import cache
from typing import Any

from . import plan
from .experiment import Cell, Experiment, read_cell, read_experiment
from .laid import Laid
from .settings import Choice, Source
from .validation import fields_of, unknown

NOT_ASKED = ("paper", "title", "description", "group")  # prose, and the paper's own numbers


@dataclass(frozen=True)
class Said:
    """The value of one setting, and who said it."""

    key: str
    value: Any
    layer: str
    cells: tuple[str, ...]  # those in which it is so; none where it is so in all
    about: str  # what the source says beside the setting


def explain(text: str, world: str, overrides: dict[str, Any], key: str) -> list[Said]:
    """Every setting that `key` names (one, or a block of them), once for the cells that agree on it.

    Raises ValueError for a key that nothing here has, with the nearest one.
    """
    common, rows = plan.merged(text, world, overrides)
    experiment, cells = read_experiment(common), [read_cell(row) for row in rows]
    found = [("", s) for s in _settings(common, experiment)]
    found += [(c.name, s) for row, c in zip(rows, cells) for s in _settings(row, c)]
    known = list(dict.fromkeys(s.key for _, s in found))
    alike: dict[str, tuple[Said, list[str]]] = {}
    for cell, s in sorted(found, key=lambda pair: known.index(pair[1].key)):
        if s.key == key or s.key.startswith(f"{key}."):
            alike.setdefault(repr(s), (s, []))[1].append(cell)
    if not alike:
        raise ValueError(_unknown(key, known))
    everywhere = ([""], [c.name for c in cells])
    return [replace(s, cells=() if where in everywhere else tuple(where)) for s, where in alike.values()]


def _unknown(key: str, known: list[str]) -> str:
    block = key.partition(".")[0]
    inside = [k for k in known if k.startswith(f"{block}.")]
    blocks = list(dict.fromkeys(k.partition(".")[0] for k in known))
    return unknown("--explain", key, inside or blocks, known)


def _settings(laid: Laid, resolved: Experiment | Cell) -> Iterator[Said]:
    """Every setting of an experiment or a cell, in order."""
    left_out = {*NOT_ASKED, "name" if isinstance(resolved, Cell) else "forget"}  # targets are the cells'
    for name in fields_of(type(resolved)):
        for path, value, cls in _inside(resolved, name) if name not in left_out else ():
            default = f"default of {cls.__module__.removeprefix('unpromptable.')}.{cls.__name__}"
            layer = laid.layer_of(*path) or default
            yield Said(".".join(path), value, layer, (), comment(cls, path[-1]))


def _inside(resolved: Experiment | Cell, name: str) -> Iterator[tuple[tuple[str, ...], Any, type]]:
    """The path, value and class of a setting, or of each in a block."""
    value = getattr(resolved, name)
    if isinstance(value, Choice):
        yield (name, "name"), value.name, type(resolved)
        blocks = [value.made]
    elif isinstance(value, Source) and isinstance(resolved, Experiment):
        blocks = [value, resolved.family_settings()]
    else:
        blocks = [value]
    for block in blocks:
        if not is_dataclass(block):
            if block is not None:
                yield (name,), _plain(block), type(resolved)
            continue
        for inner in fields_of(type(block)):
            if not (isinstance(block, Source) and inner == "settings"):
                yield (name, inner), getattr(block, inner), type(block)


def _plain(value: Any) -> Any:
    """The metrics by their names and settings, as YAML has them; another value as it is."""
    if not isinstance(value, tuple) or not any(isinstance(v, Choice) for v in value):
        return value
    return tuple({"name": v.name, **v.settings} if v.settings else v.name for v in value)


def comment(cls: type, name: str) -> str:
    """What the source says of a field of a dataclass, above it and beside it; empty without a source."""
    lines = _source(cls)
    at = next((i for i, line in enumerate(lines) if re.match(rf"    {name}\s*:", line)), None)
    if at is None:
        return ""
    above = itertools.takewhile(lambda line: line.startswith("    #"), reversed(lines[:at]))
    beside = re.findall(r"\s#\s(.*)$", lines[at])
    return " ".join([*(line.strip("# ") for line in reversed(list(above))), *beside])


@cache
def _source(cls: type) -> list[str]:
    """The lines of a class; none where it came without its source."""
    try:
        return inspect.getsource(cls).splitlines()
    except OSError:
        return []

"""One layer in its normal form: blocks are mappings, choices have their settings beside their name.

Every value is marked with the layer that said it, in the words in which errors name that layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .laid import CHOICES, Laid, lay, marked
from .reading import check_path, named, shown
from .validation import unknown

# what a cell may change; all else belongs to the experiment
CELL = ("method", "editor", "training", "forget")
NAMED = (*CHOICES, "model", "networks")  # a bare word is their name
ORIGIN = "origin"  # of a cell's method and training: what changes them without saying it leaves none
BLOCKS = (*NAMED, "training", "sampling", "injection", "remember", "pictures", "quality", "report")
SHAPE = ("base", "cells", "sweep", "worlds")  # of an experiment's YAML, rather than a setting
FULL = "full"  # of what an experiment says of a world: what more targets and images change
OF_WORLD = ("cell", "methods", "editors", "families", "reals")  # of a world's YAML alone


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
                f"--set {named(key)}: {head} is no setting of its own; set what it holds, such as"
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


def layer(given: Any, where: str) -> Laid:
    """One layer in its normal form, said by `where`. Raises ValueError where a block or targets are none."""
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
    return marked(out, where)


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


def in_world(given: dict, world: str, worlds: list[str], full: bool = False) -> Laid:
    """The experiment as it is in one world: what its `worlds` say of that world lies on top of the rest, and,
    where it is asked for in full, on top of that the world's `full`.
    """
    entries = given.get("worlds") or {}
    if not isinstance(entries, dict):
        raise ValueError(
            f"experiment.worlds: got {shown(entries)}; give one of {', '.join(worlds)} a mapping of what"
            " differs there"
        )
    for name, entry in entries.items():
        if name not in worlds or not isinstance(entry, dict) or "name" in entry or "world" in entry:
            raise ValueError(
                f"experiment.worlds.{named(name)}: got {shown(entry)}; give one of {', '.join(worlds)} a"
                " mapping of what differs there, such as forget and base, but neither name nor world"
            )
    at = f".worlds.{world}"
    own, more = _apart(entries.get(world) or {}, f"experiment{at}")
    both = lay(experiment(given, "experiment"), experiment(own, f"experiment{at}"))
    if not full:
        return both
    if more is None:
        raise ValueError(f"--set full: experiment{at} has no {FULL!r}; leave it out")
    return lay(both, experiment(more, f"experiment{at}.{FULL}"))


def _apart(entry: dict, where: str) -> tuple[dict, dict | None]:
    """What an experiment says of a world, and apart from it what it says of the world in full."""
    more = entry.get(FULL)
    if more is not None and (not isinstance(more, dict) or "name" in more or "world" in more):
        raise ValueError(
            f"{where}.{FULL}: got {shown(more)}; give a mapping of what differs there, such as sweep and"
            " sampling"
        )
    return {k: v for k, v in entry.items() if k != FULL}, more


def experiment(given: dict, where: str) -> Laid:
    """An experiment's YAML, its blocks and its base in their normal form, without its `worlds`."""
    said = {k: v for k, v in given.items() if k != "worlds" and (v is not None or k not in SHAPE)}
    base = said.pop("base", None)
    out = layer(said, where)
    if base is not None:
        out.say("base", cell_layer(base, f"{where}.base", ("group", ORIGIN)), where)
    return out


def cell_layer(given: Any, where: str, more: tuple[str, ...]) -> Laid:
    """What all cells or one of them say. Raises ValueError for what no cell has."""
    out = layer(given, where)
    for key in out:
        if key not in (*CELL, *more):
            raise ValueError(unknown(where, key, [*more, *CELL]))
    for key in more:
        if not isinstance(out.get(key, ""), str):
            raise ValueError(
                f"{where}.{key}: got {shown(out[key])}; give a word, in quotes where it looks like a number"
            )
    if out.get("forget") == []:
        raise ValueError(f"{where}.forget: no forget image; name at least one, or leave it to the experiment")
    return out

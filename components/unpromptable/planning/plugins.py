"""Names in the YAML to files in the package: `method: siss` is methods/siss.py, and nothing else lists it."""

from __future__ import annotations

import difflib
import importlib
import math
import pkgutil
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from types import ModuleType
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from .reading import check_line, shown

KINDS = {
    "model": "models.families",
    "editor": "editing.editors",
    "method": "unlearning.methods",
    "metric": "scoring.metrics",
    "report": "reporting.reports",
}
PROSE = ("title", "description")  # the settings that may have several lines


def names(kind: str) -> list[str]:
    """Every choice of `kind` (model, editor, method, metric, report): the files in its folder."""
    package = importlib.import_module(f"unpromptable.{KINDS[kind]}")
    return sorted(
        m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_") and not m.ispkg
    )


def module(kind: str, name: str) -> ModuleType:
    """The file of one choice. Raises ValueError that lists the choices when there is none of that name."""
    if name not in names(kind):
        raise ValueError(
            f"{KINDS[kind].rpartition('.')[2]}: no {shown(name)}; choose from"
            f" {', '.join(names(kind))}{_nearest(name, names(kind))}"
        )
    return importlib.import_module(f"unpromptable.{KINDS[kind]}.{name}")


def make(kind: str, name: str, settings: dict[str, Any] | None = None) -> Any:
    """The configured choice: its dataclass (Editor, Method, Metric) built from validated settings."""
    return build(getattr(module(kind, name), kind.capitalize()), settings or {}, name)


def fields_of(cls: type) -> list[str]:
    """The settings that a dataclass has."""
    return [f.name for f in fields(cls)]


def build(cls: type, settings: dict[str, Any], where: str) -> Any:
    """A frozen dataclass from YAML values. Raises ValueError naming the key, the value and what is
    allowed.
    """
    if not isinstance(settings, dict):
        raise ValueError(f"{where}: got {shown(settings)}; give a mapping of its settings")
    known = fields_of(cls)
    for key in settings:
        if key not in known:
            raise ValueError(
                f"{where}: no setting {shown(key)}; choose from"
                f" {', '.join(known) or 'none (it has no settings)'}{_nearest(key, known)}"
            )
    settings = {k: _plain(v, _hints(cls)[k], f"{where}.{k}") for k, v in settings.items()}
    try:
        made = _adapter(cls).validate_python(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(x) for x in first["loc"])
        if first["type"] == "value_error":
            raise ValueError(str(first["ctx"]["error"])) from error
        raise ValueError(f"{where}.{place}: {first['msg'].lower()}, got {shown(first['input'])}") from error
    for key in settings:
        _check(getattr(made, key), f"{where}.{key}")  # numbers given as words, too
    return made


@cache
def _adapter(cls: type) -> TypeAdapter:
    return TypeAdapter(cls)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _plain(value: Any, hint: Any, where: str) -> Any:
    """The value as its setting takes it: one word where words are listed is a list of one. Raises where a
    number has to be given and a truth is.
    """
    if isinstance(value, str) and get_origin(hint) is tuple and get_args(hint)[0] is str:
        value = (value,)
    wanted = set(_kinds(hint))
    if wanted & {int, float} and bool not in wanted and any(isinstance(v, bool) for v in _leaves(value)):
        raise ValueError(f"{where} is {shown(value)}; it must be a number")
    _check(value, where)
    return value


def _check(value: Any, where: str) -> None:
    """Raise for a number that is not finite or beyond 2^53, a seed below 0 or beyond 32 bits, and a word of
    several lines.
    """
    if isinstance(value, dict):  # a choice's settings stand beside its name
        for key, inner in value.items():
            _check(inner, f"{where.removesuffix('.settings')}.{key}")
        return
    name = where.rpartition(".")[2]
    for leaf in _leaves(value):
        if isinstance(leaf, float) and not math.isfinite(leaf):
            raise ValueError(f"{where} is {shown(value)}; it must be finite")
        if isinstance(leaf, int) and abs(leaf) > 1 << 53:
            raise ValueError(f"{where} is {shown(value)}; numbers are at most 2^53")
        if isinstance(leaf, int) and name.endswith("seed") and not 0 <= leaf < 1 << 32:
            raise ValueError(f"{where} is {shown(value)}; seeds lie in 0..{(1 << 32) - 1}")
        if isinstance(leaf, str) and name not in PROSE:
            check_line(where, leaf)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _kinds(hint: Any) -> Iterator[Any]:
    yield hint
    for inner in get_args(hint):
        yield from _kinds(inner)


def _nearest(word: str, options: list[str]) -> str:
    close = difflib.get_close_matches(str(word)[:80], options, 1)
    return f" (did you mean {close[0]}?)" if close else ""

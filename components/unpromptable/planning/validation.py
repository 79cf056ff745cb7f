"""Plain values to frozen objects, by pydantic; and its errors as one line: where, what was given, what is
allowed.

What holds for every setting whatsoever, a plugin's too, stands here: numbers are finite, at most 2^53 and no
truths, seeds have 32 bits, a word has one line, one word where words are listed is a list of one.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from .reading import check_line, named, shown

CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
UNKNOWN = "unexpected_keyword_argument"
PROSE = ("title", "description")  # the settings that may have several lines
BOUNDS = {
    "greater_than": ("gt", "it must be above"),
    "greater_than_equal": ("ge", "it must be at least"),
    "less_than": ("lt", "it must be below"),
    "less_than_equal": ("le", "it may be at most"),
    "multiple_of": ("multiple_of", "it must be a multiple of"),
}
KINDS = {
    "int": "it must be a whole number",
    "float": "it must be a number",
    "finite": "it must be finite",
    "string": "it must be a word, in quotes where it looks like a number",
    "bool": "give true or false",
    "tuple": "give a list",
    "dict": "give a mapping",
}


def fields_of(cls: type) -> list[str]:
    """The settings that a dataclass has."""
    return [f.name for f in fields(cls)]


def build(cls: type, settings: dict[str, Any], where: str, elsewhere: Iterable[str] = ()) -> Any:
    """A frozen dataclass from YAML values.

    elsewhere: words that are right in another place, and may be the one that was meant by a wrong key.

    Raises ValueError, one line with the key, the value and what is allowed.
    """
    if not isinstance(settings, dict):
        raise ValueError(f"{where}: got {shown(settings)}; give a mapping of its settings")
    hints = _hints(cls)
    given = {k: _plain(v, hints[k], f"{where}.{k}") if k in hints else v for k, v in settings.items()}
    try:
        made = _adapter(cls).validate_python(given)
    except ValidationError as error:
        raise ValueError(said(error, cls, where, elsewhere)) from error
    for key in given:
        check(getattr(made, key), f"{where}.{key}")  # numbers given as words, too
    return made


def unknown(where: str, key: Any, known: list[str], elsewhere: Iterable[str] = ()) -> str:
    """The line that refuses a key: the nearest known one, and all that there are."""
    close = difflib.get_close_matches(str(key)[:80], [*known, *elsewhere], 1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    names = ", ".join(known) or "none (it has no settings)"
    return f"{where}: no setting {shown(key)}{meant}; choose from {names}"


def said(error: ValidationError, cls: type, where: str, elsewhere: Iterable[str] = ()) -> str:
    """One of pydantic's errors in one line, a wrong key's before others."""
    first = min(error.errors(include_url=False), key=lambda e: e["type"] != UNKNOWN)
    kind, loc, got = first["type"], first["loc"], shown(first["input"])
    if kind == UNKNOWN and len(loc) == 1:
        return unknown(where, loc[0], fields_of(cls), elsewhere)
    if kind == "value_error":  # of __post_init__, which names the place itself
        return str(first["ctx"]["error"])
    at = where + "".join(f"[{x}]" if isinstance(x, int) else f".{named(x)}" for x in loc)
    if kind == UNKNOWN:
        return f"{at} is {got}; there is no such key"
    if kind == "missing":
        return f"{at} is missing; give it"
    if kind == "literal_error":
        return f"{at}: no {got}; choose from {', '.join(_words(_hints(cls)[str(loc[0])]))}"
    if kind in BOUNDS:
        name, words = BOUNDS[kind]
        return f"{at} is {got}; {words} {first['ctx'][name]:,.10g}"
    words = KINDS.get(kind.partition("_")[0], first["msg"][:1].lower() + first["msg"][1:])
    return f"{at} is {got}; {words}"


def check(value: Any, where: str) -> None:
    """Raise for a number that is not finite or beyond 2^53, a seed below 0 or beyond 32 bits, and a word of
    several lines.
    """
    if isinstance(value, dict):  # a choice's settings stand beside its name
        for key, inner in value.items():
            check(inner, f"{where.removesuffix('.settings')}.{named(key)}")
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


def check_kinds(cls: type) -> None:
    """Raise what Python or pydantic says where the kinds of a dataclass's settings cannot be read."""
    _hints(cls), _adapter(cls)


@cache
def _adapter(cls: type) -> TypeAdapter:
    """Reads a pydantic dataclass as it says itself, and a plain one (a plugin's) by the same rules."""
    return TypeAdapter(cls if hasattr(cls, "__pydantic_config__") else with_config(CONFIG)(cls))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _plain(value: Any, hint: Any, where: str) -> Any:
    """The value as its setting takes it: one word where words are listed is a list of one. Raises where a
    number has to be given and a truth is.
    """
    if isinstance(value, str) and get_origin(hint) is tuple and get_args(hint)[0] is str:
        value = (value,)
    wanted = set(_inner(hint))
    if wanted & {int, float} and bool not in wanted and any(isinstance(v, bool) for v in _leaves(value)):
        raise ValueError(f"{where} is {shown(value)}; it must be a number")
    check(value, where)
    return value


def _words(hint: Any) -> list[str]:
    """The words that a setting of one of them takes."""
    return [str(w) for h in _inner(hint) if get_origin(h) is Literal for w in get_args(h)]


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _inner(hint: Any) -> Iterator[Any]:
    yield hint
    for inner in get_args(hint):
        yield from _inner(inner)

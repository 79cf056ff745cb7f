"""Names in the YAML to files in the package: `method: siss` is methods/siss.py, and nothing else lists it."""
from __future__ import annotations

import difflib
import importlib
import pkgutil
from dataclasses import fields
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

KINDS = {"model": "models", "editor": "editors", "method": "methods", "metric": "metrics", "report": "reports"}


def names(kind: str) -> list[str]:
    """Every choice of `kind` (model, editor, method, metric, report): the files in its folder."""
    package = importlib.import_module(f"unpromptable.{KINDS[kind]}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_") and not m.ispkg)


def module(kind: str, name: str) -> ModuleType:
    """The file of one choice. Raises ValueError that lists the choices when there is none of that name."""
    if name not in names(kind):
        raise ValueError(f"{KINDS[kind]}: no {name!r}; choose from {', '.join(names(kind))}{_nearest(name, names(kind))}")
    return importlib.import_module(f"unpromptable.{KINDS[kind]}.{name}")


def make(kind: str, name: str, settings: dict[str, Any] | None = None) -> Any:
    """The configured choice: its dataclass (Editor, Method, Metric) built from validated settings."""
    return build(getattr(module(kind, name), kind.capitalize()), settings or {}, name)


def fields_of(cls: type) -> list[str]:
    """The settings that a dataclass has."""
    return [f.name for f in fields(cls)]


def build(cls: type, settings: dict[str, Any], where: str) -> Any:
    """A frozen dataclass from YAML values. Raises ValueError naming the key, the value and what is allowed."""
    known = [f.name for f in fields(cls)]
    for key in settings:
        if key not in known:
            raise ValueError(f"{where}: no setting {key!r}; choose from {', '.join(known) or 'none (it has no settings)'}{_nearest(key, known)}")
    try:
        return TypeAdapter(cls).validate_python(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(x) for x in first["loc"])
        if first["type"] == "value_error":
            raise ValueError(str(first["ctx"]["error"])) from error
        raise ValueError(f"{where}.{place}: {first['msg'].lower()}, got {first['input']!r}") from error


def _nearest(word: str, options: list[str]) -> str:
    close = difflib.get_close_matches(str(word), options, 1)
    return f" (did you mean {close[0]}?)" if close else ""

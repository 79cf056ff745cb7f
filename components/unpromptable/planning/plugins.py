"""Names in the YAML to choices: `method: siss` is methods/siss.py, or another package's entry point of that
name.

Nothing else lists them.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from unpromptable import protocols

from .reading import shown
from .validation import build, check_kinds


@dataclass(frozen=True)
class Kind:
    """One of the five kinds: the folder of the choices that ship, and the protocol that each subclasses by a
    class of the same name.

    Other packages add choices by entry points of the group unpromptable.<kind>s.
    """

    folder: str
    protocol: type


KINDS = {
    "model": Kind("models.families", protocols.Family),
    "editor": Kind("editing.editors", protocols.Editor),
    "method": Kind("unlearning.methods", protocols.Method),
    "metric": Kind("scoring.metrics", protocols.Metric),
    "report": Kind("reporting.reports", protocols.Report),
}


def names(kind: str) -> list[str]:
    """Every choice of `kind` (model, editor, method, metric, report): that ship, and of other packages."""
    return sorted([*shipped(kind), *added(kind)])


def shipped(kind: str) -> list[str]:
    """The choices in the package: the files in the kind's folder."""
    package = importlib.import_module(f"unpromptable.{KINDS[kind].folder}")
    return sorted(
        m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_") and not m.ispkg
    )


@cache
def added(kind: str) -> dict[str, EntryPoint]:
    """The choices of other packages, by name: the entry points of the kind's group.

    Raises ValueError where a name is taken, since a YAML word must mean one thing.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"unpromptable.{kind}s"):
        taken = "unpromptable itself" if point.name in shipped(kind) else ""
        taken = _package(found[point.name]) if point.name in found else taken
        if taken:
            raise ValueError(
                f"{kind}s: {point.name} of {_package(point)} has the name of one of {taken};"
                f" rename it in the entry points unpromptable.{kind}s, or remove the package"
            )
        found[point.name] = point
    return found


def _package(point: EntryPoint) -> str:
    return f"the package {point.dist.name}" if point.dist else point.value


def find(kind: str, name: str) -> Any:
    """The class of one choice, unconfigured.

    Raises ValueError that lists the choices when there is none of that name, and where the class is missing,
    cannot be imported, or does not subclass its kind's protocol.
    """
    known, wanted = names(kind), KINDS[kind].protocol
    if name not in known:
        raise ValueError(f"{kind}s: no {shown(name)}; choose from {', '.join(known)}{_nearest(name, known)}")
    point = added(kind).get(name)
    path = point.value if point else f"unpromptable.{KINDS[kind].folder}.{name}"
    cls = _loaded(f"{kind}s: {name} ({path})", path, wanted)
    if missing := _missing(cls, wanted):
        raise ValueError(f"{kind}s: {name} ({path}) lacks {', '.join(missing)}; see {_where(wanted)}")
    return cls


def _loaded(where: str, path: str, wanted: type) -> Any:
    """The class at `path`, module:class or a module that has one of the protocol's name."""
    home, _, inside = path.partition(":")
    try:
        cls: Any = vars(importlib.import_module(home)).get(inside or wanted.__name__)
    except Exception as error:  # whatever a module does on import
        raise ValueError(f"{where} cannot be imported: {_words(error)}") from error
    ours = isinstance(cls, type) and wanted in cls.__mro__ and is_dataclass(cls)
    if not ours or not cls.__dataclass_params__.frozen:
        name = inside or wanted.__name__
        raise ValueError(f"{where}: `{name}` must be a frozen dataclass that subclasses {_where(wanted)}")
    try:
        check_kinds(cls)
    except Exception as error:  # what Python or pydantic says of them has no kind in common
        raise ValueError(f"{where}: the kinds of its settings cannot be read: {_words(error)}") from error
    return cls


def _words(error: Exception) -> str:
    """The error as one line, with its kind where that is not what is said anyway."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ImportError) else f"{type(error).__name__}: {text}"


def _missing(cls: Any, wanted: type) -> list[str]:
    """What the protocol asks for and the class has not: abstract members, and values without a default."""
    values = [name for name in wanted.__annotations__ if name not in dir(cls)]
    return sorted([*cls.__abstractmethods__, *values])


def _where(protocol: type) -> str:
    return f"{protocol.__module__}.{protocol.__name__}"


def says(kind: str, name: str) -> str:
    """What a choice is: the first paragraph of its file's docstring, as one line."""
    return " ".join((sys.modules[find(kind, name).__module__].__doc__ or "").split("\n\n")[0].split())


def make(kind: str, name: str, settings: dict[str, Any] | None = None) -> Any:
    """The configured choice: its dataclass built from validated settings."""
    return build(find(kind, name), settings or {}, name)


def _nearest(word: str, options: list[str]) -> str:
    close = difflib.get_close_matches(str(word)[:80], options, 1)
    return f" (did you mean {close[0]}?)" if close else ""

"""Names in the YAML to files in the package: `method: siss` is methods/siss.py, and nothing else lists it."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from types import ModuleType
from typing import Any

from .reading import shown
from .validation import build

KINDS = {
    "model": "models.families",
    "editor": "editing.editors",
    "method": "unlearning.methods",
    "metric": "scoring.metrics",
    "report": "reporting.reports",
}


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
            f"{kind}s: no {shown(name)}; choose from {', '.join(names(kind))}{_nearest(name, names(kind))}"
        )
    return importlib.import_module(f"unpromptable.{KINDS[kind]}.{name}")


def make(kind: str, name: str, settings: dict[str, Any] | None = None) -> Any:
    """The configured choice: its dataclass (Editor, Method, Metric) built from validated settings."""
    return build(getattr(module(kind, name), kind.capitalize()), settings or {}, name)


def _nearest(word: str, options: list[str]) -> str:
    close = difflib.get_close_matches(str(word)[:80], options, 1)
    return f" (did you mean {close[0]}?)" if close else ""

"""A step's function sees a folder, whether its store is one or an object store's address."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from typing import Any

from unpromptable.planning.plan import read_yaml
from unpromptable.storage.store import mirror


def opened(function: Callable) -> Callable:
    """Let a step's function, one of whose arguments is `where`, see a folder: the store itself or its
    mirror.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: Any) -> Any:
        bound = signature.bind(*args)
        bound.arguments["where"] = located(bound.arguments)
        return function(*bound.args)

    return run


def located(arguments: dict[str, Any]) -> str:
    """The folder that a step's argument `where` stands for. Raises ValueError or OSError where it cannot be
    told.
    """
    where = arguments["where"]
    return mirror(where.replace("{name}", _name(arguments)) if "{name}" in where else where)


def _name(arguments: dict[str, Any]) -> str:
    """The experiment's name, from a cell's id, its spec, or the experiment itself."""
    if "cell" in arguments:
        return arguments["cell"].partition("/")[0]
    if "spec" in arguments:
        return json.loads(arguments["spec"])["experiment"]["name"]
    return str(read_yaml(arguments["experiment"]).get("name") or "unnamed")

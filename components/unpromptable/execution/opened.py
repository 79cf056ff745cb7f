"""A step's function sees a folder, whether its store is one or an object store's address."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from typing import Any

from unpromptable.planning.plan import read_yaml
from unpromptable.storage.files import mirror


def opened(function: Callable) -> Callable:
    """Let a step's function, one of whose arguments is `store`, see a folder: the store or its mirror."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: Any, **more: Any) -> Any:
        bound = signature.bind(*args, **more)
        before = os.umask(0o077)  # the pictures are of people: what a step writes is its owner's alone
        try:
            bound.arguments["store"] = located(bound.arguments)
            return function(*bound.args, **bound.kwargs)
        finally:
            os.umask(before)

    return run


def located(arguments: dict[str, Any]) -> str:
    """The folder that a step's argument `store` stands for. Raises ValueError or OSError where none is."""
    store = arguments["store"]
    return mirror(store.replace("{name}", _name(arguments)) if "{name}" in store else store)


def _name(arguments: dict[str, Any]) -> str:
    """The experiment's name, from a cell's id or the experiment itself."""
    if "cell" in arguments:
        return arguments["cell"].partition("/")[0]
    return str(read_yaml(arguments["experiment"]).get("name") or "unnamed")

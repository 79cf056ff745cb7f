"""Packages of someone else, as an installer leaves them: a module, and what says its entry point."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import pytest

from unpromptable.planning import plugins


def put(folder, kind, name, code, value="", package=""):
    """A package that adds one choice."""
    module = f"others_{name}"
    package = package or module
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[unpromptable.{kind}s]\n{name} = {value or module}\n")


@contextmanager
def on_path(folder):
    """Inside, what lies in `folder` is installed."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(folder)
            plugins.added.cache_clear()
            yield
    finally:
        for module in [m for m in sys.modules if m.startswith("others_")]:
            del sys.modules[module]
        plugins.added.cache_clear()

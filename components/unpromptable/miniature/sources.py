"""Which of the sources that ship draws the pictures that an experiment names as `real`."""

from __future__ import annotations

from pathlib import Path


def drawn_by(source: str):
    """The module that draws a shipped source; None for a folder."""
    if source == "miniature":
        from . import portraits

        return portraits
    if source.partition("/")[0] == "flags" and not Path(source).is_dir():
        from . import flags

        return flags
    return None

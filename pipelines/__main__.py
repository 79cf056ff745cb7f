"""python -m pipelines COMMAND: run an experiment here or on a cluster, answer a request to forget, and what
either needs.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from pipelines.cli import (
    cluster,
    compiled,
    dry_run,
    early,
    hotfix,
    local,
    paint,
    paper,
    purge,
    review,
    series,
    size,
    train,
)
from unpromptable.storage.once import Stopped

COMMANDS = (
    local,
    dry_run,
    size,
    paper,
    cluster,
    compiled,
    train,
    paint,
    purge,
    hotfix,
    review,
    series,
    early,
)
POSITIONAL = ("experiment", "folder", "target", "request", "file", "series")
FILES = ("experiment", "target", "package", "mask", "request", "file", "key")
PATHS = (*POSITIONAL, "out", "package", "store", "mask", "real", "key", "series_folder", "model", "keep")


def main(words: list[str] | None = None) -> int:
    """Parse, run, and turn bad input into one line and exit code 2."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(words)
    if rest and (not hasattr(arguments, "words") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.words += rest  # key=value after an option, which argparse does not join to those before it
    console = Console(stderr=False)
    try:
        _none_empty(arguments)
        return arguments.run(arguments, console)
    except (ValueError, OSError) as error:
        print(f"error: {_said(error)}", file=sys.stderr)
        return 2
    except Stopped as error:
        print(f"error: {_said(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # what was stopped has said so


def _said(error: Exception) -> str:
    """An error in one line; the system's own with its file first, and what to do."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return (
            f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}; mend or choose another path"
        )
    return " ".join(str(error).split())


def _none_empty(arguments: argparse.Namespace) -> None:
    """Raise ValueError for an empty word in a path's place, as an unset variable leaves it: it would mean the
    current folder.
    """
    for name in PATHS:
        value = getattr(arguments, name, None)
        if isinstance(value, str) and not value.strip():
            option = name if name in POSITIONAL else f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{option} is empty; name a {'file' if name in FILES else 'folder'}, or leave it out where it"
                " has a default"
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unpromptable",
        description="Make a diffusion model forget images that no prompt can name.",
    )
    verbs = parser.add_subparsers(
        required=True,
        metavar="COMMAND",
    )
    for command in COMMANDS:
        command.add(verbs)
    return parser


if __name__ == "__main__":
    sys.exit(main())

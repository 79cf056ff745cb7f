"""What several commands share: overrides, the compiled pipeline, paths and lines as people read them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from unpromptable.planning import reading

HERE = Path(__file__).parents[1]
COMPILED, HOTFIX = HERE / "ablation_sweep.yaml", HERE / "hotfix.yaml"


def override(
    word: str, option: str = "--set", form: str = "key=value, such as training.steps=60"
) -> tuple[str, object]:
    """key=value of an option, the value read as YAML."""
    key, found, value = word.partition("=")
    if not found or not key:
        raise ValueError(f"{option} {word}: expected {form}")
    return key, reading.value(value, f"{option} {key}")


def overrides(a: argparse.Namespace) -> dict[str, object]:
    """Every --set of a command."""
    return dict(override(word) for word in a.set)


def say(console: Any, text: str) -> None:
    """Print a line as it is, however long and whatever brackets it has."""
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def short(path: Path) -> str:
    path = Path(path).resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def experiment() -> argparse.ArgumentParser:
    """The words that name an experiment, a parent of every command that takes one."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("experiment", help="a YAML file, or the name of an experiment that ships")
    parser.add_argument("--world", default="", help="miniature or paper; the experiment's own otherwise")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting, such as training.lr=1e-5; may be repeated",
    )
    return parser

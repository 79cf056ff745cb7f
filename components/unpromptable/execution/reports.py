"""The reports of a run: each is written whatever becomes of the others, and what stopped one is said."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unpromptable.planning import plugins
from unpromptable.planning.experiment import Experiment
from unpromptable.planning.reading import shown
from unpromptable.protocols import Report
from unpromptable.reporting.row import Row
from unpromptable.storage import once, progress

log = logging.getLogger(__name__)


def found() -> tuple[dict[str, Report], list[str]]:
    """Every report by its name, and why there are others that cannot be had."""
    made: dict[str, Report] = {}
    failed: list[str] = []
    try:
        names = plugins.names("report")
    except ValueError as error:  # two packages have one name, so that none can be told
        return made, [str(error)]
    for name in names:
        try:
            made[name] = plugins.make("report", name)
        except ValueError as error:
            failed.append(str(error))
    return made, failed


def write(
    reports: dict[str, Report], store: Path, experiment: Experiment, rows: Sequence[Row], state: str
) -> tuple[list[Path], list[str]]:
    """The files that were written, some reports being for some models only, and what stopped others."""
    written, failed = [], []
    for name, report in reports.items():
        try:
            file = _checked(report.write(store, experiment, rows, state), store)
            written += [] if file is None else [file]
        except Exception as error:  # whatever it is, the others are written
            log.error("report %s", name, exc_info=error)
            failed.append(f"report {name}: {once.words(error)}")
    return written, failed


def say(store: str, failed: Sequence[str]) -> None:
    """Tell what failed where a run's events are shown, then end the step. Raises once.Stopped with it."""
    for told in failed:
        progress.event(store, "", "report", "failed", told)
    if failed:
        raise once.Stopped("; ".join(failed))


def _checked(file: Any, store: Path) -> Path | None:
    """What a report gave, where it is a file in the run's folder or none. Raises ValueError where not."""
    if file is None:
        return None
    if not isinstance(file, Path):
        raise ValueError(f"gave {shown(file)}; `write` must return the Path of what it wrote, or None")
    if not file.is_file() or not file.resolve().is_relative_to(store.resolve()):
        raise ValueError(
            f"gave {file}, which is no file in {store}; `write` must write into the run's folder"
        )
    return file

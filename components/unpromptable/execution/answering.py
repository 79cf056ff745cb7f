"""The steps of a request to forget: look at the base model, attempt by attempt a cell, and the release.

What was found is not handed on: each step reads the store, and finds from the rows there which attempt is
next, so that a step which is repeated does nothing twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unpromptable.planning import reading
from unpromptable.planning import spec as planned
from unpromptable.releasing import attempts, certificate, gates, release
from unpromptable.releasing import base as bases
from unpromptable.releasing.base import Base
from unpromptable.releasing.begun import BASE
from unpromptable.releasing.request import Request, check_alone, parse
from unpromptable.reporting import rows
from unpromptable.reporting.row import Row
from unpromptable.scoring.estimates import end
from unpromptable.storage import files, once

from . import plan_step, prepare_step, sample_step, whole
from .opened import opened

log = logging.getLogger(__name__)
RELEASE = "release"  # in the store, beside BASE


@dataclass
class Tried:
    """The attempts of a store so far."""

    cells: list[dict[str, Any]] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    found: certificate.Attempts = field(default_factory=dict)
    following: dict[str, Any] | None = None  # the next one; None where one passes, or no more is tried
    nothing: bool = False  # to forget, so that none is made

    @property
    def judged(self) -> certificate.Attempts:
        """What the gates said of those that have a result."""
        return {name: found for name, found in self.found.items() if found}

    @property
    def best(self) -> Row | None:
        """The row of the one that is released or shown; None where none has a result."""
        return self.rows[gates.best(judged)] if (judged := self.judged) else None


def _no_more(row: Row) -> list[gates.Finding]:
    return []


@opened
def look(experiment: str, store: str) -> None:
    """Prepare the run of a request and judge its base model. Raises ValueError or Stopped where that cannot
    be done.
    """
    asked = parse(experiment)
    check_alone(asked)
    shared = _planned(asked, [attempts.first(asked)], store)[0]
    run = planned.read(store)
    made = lambda name, stage: run.shared.output(store, "prepare", name, stage).path
    base = bases.look(run.experiment, made("data.safetensors", "data"), made("pretrained", "pretrained"))
    files.write_text(Path(store) / BASE, bases.told(base))
    words = "request %s: %s is prepared; what the base makes of a target is up to %.3f like it"
    log.info(words, asked.name, shared, base.ceiling.mean)


def _planned(
    asked: Request, cells: list[dict[str, Any]], store: str, over: Collection[str] = ()
) -> tuple[str, str]:
    """Plan and prepare a run with these cells; the ids of what all share, and of the last of them.

    over: names of those that were tried, whose failures stay noted: only the last one is run.
    """
    text = reading.write(asked.experiment(cells))
    plan_step.plan(text, asked.world, asked.settings, store, over=over)
    shared = prepare_step.prepare(text, store)
    once.stop(store)  # where either failed
    run = planned.read(store)
    return shared, next(run.id(s) for s in run.cells if s.name == cells[-1]["name"])


@opened
def attempt(experiment: str, store: str) -> None:
    """Train, sample and score the next attempt, where none passes yet and the budget allows one."""
    asked = parse(experiment)
    _once_more(store)
    so_far = tried(asked, store)
    if so_far.following is None:
        log.info("request %s: no further attempt after %d", asked.name, len(so_far.found))
        return
    shared, cell = _planned(asked, [*so_far.cells, so_far.following], store, so_far.found)
    sample_step.sample(shared, store, 0, 1)
    whole.cell(cell, store)


def _once_more(store: str) -> None:
    """Forget a failure that may pass: the pod whose attempt it stopped is started again by the engine."""
    for at in (spec.place(store) for spec in planned.read(store).cells):
        if (told := once.noted(at)) and told["again"]:
            files.remove(at.path(once.NOTE))


def tried(asked: Request, store: str | Path, also: Callable[[Row], list[gates.Finding]] = _no_more) -> Tried:
    """Go through the attempts in their order, as far as the store has their rows. also: what else is judged
    of one.
    """
    base = bases.read(files.fetch(Path(store) / BASE))
    bounds, so_far = gates.of(asked.gates, base.unrelated, asked.parts), Tried()
    if nothing(base, bounds):
        return Tried(nothing=True)
    over = lambda r: r.ended or r.status == "failed" and r.error != rows.UNFINISHED
    there = {r.name: r for r in rows.of_all(planned.read(store), str(store)) if over(r)}
    while cell := attempts.following(asked, so_far.found):
        if (row := there.get(cell["name"])) is None:
            so_far.following = cell
            break
        so_far.cells.append(cell)
        so_far.rows[row.name] = row
        so_far.found[row.name] = judged = [*gates.judged(row, bounds), *also(row)] if row.done else []
        if judged and all(f.holds for f in judged):
            break
    return so_far


def nothing(base: Base, bounds: dict[str, float]) -> bool:
    """Whether the base model brings no target back, by the worse end of each one's interval, so that there is
    nothing to forget. Raises ValueError where it brings back no picture to keep either, as broken weights do.
    """
    if not all(end(e) < bounds["sscd"] for e in base.ceilings):
        return False
    if not any(e.mean >= bounds["sscd"] for e in base.kept):
        most = max((e.mean for e in base.kept), default=0.0)
        raise ValueError(
            f"model: it brings no picture back at all (of {len(base.kept)} pictures to keep none is more than"
            f" {most:.2f} like itself, the gate is {bounds['sscd']:.2f}), so nothing can be told of the"
            " targets; check its weights, and that it is a model of pictures such as those to keep"
        )
    return True


@opened
def conclude(experiment: str, store: str, digest: str, summary: str, page: str) -> None:
    """Put the release together, or the refusal. digest: SHA-256 of the request's file; summary, page: where
    its outcome in a line, and the certificate as a page, are handed on to.

    Raises Stopped where no attempt has a result, or one that is wanted was not made.
    """
    asked, root = parse(experiment), Path(store)
    so_far, base = tried(asked, store), bases.read(files.fetch(root / BASE))
    _check_ended(asked, so_far)
    fresh = root / f"{RELEASE}.made"
    outcome = release.write(fresh, asked, digest, root, base, so_far.best, so_far.judged)
    files.remove(root / RELEASE)  # also of an object store, where what is published is added to what is there
    fresh.rename(root / RELEASE)
    files.publish(root / RELEASE)
    files.write_text(Path(summary), f"**{asked.name}: {outcome}**\n")
    files.deliver(root / RELEASE / release.PAGE, page)


def _check_ended(asked: Request, so_far: Tried) -> None:
    """Raise Stopped where the attempts say neither that one passes, nor that none does."""
    if so_far.following:
        left = so_far.following["name"]
        raise once.Stopped(
            f"request {asked.name}: attempt {left} {rows.UNFINISHED}; submit the request again"
        )
    if not so_far.nothing and so_far.best is None:
        raise once.Stopped(f"request {asked.name}: {next(iter(so_far.rows.values())).error}")

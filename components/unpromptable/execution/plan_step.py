"""plan: an experiment to the ids of its cells; what they stand for is written down once, in the store."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from unpromptable.planning import plan as planning
from unpromptable.planning.spec import FILE
from unpromptable.reporting import rows
from unpromptable.storage import files, fingerprints, once, place

from . import complete, parts, reused
from .opened import opened


@opened
def plan(
    experiment: str,
    world: str,
    overrides: dict[str, Any],
    store: str,
    images_per_shard: int = 0,
    part: str = "",
    finished: bool = True,
    over: Collection[str] = (),
) -> list[str]:
    """The ids of the cells, or of one part of them; <store>/experiment.json holds what they stand for.

    finished: also of those cells of which nothing is left to do. over: names of cells that are not run again,
    so that what failed them stays noted.

    Bad input gives no cell, and experiment.json holds what can be read without the experiment's files.
    """
    mine = parts.read(part)
    if mine.first:
        files.remove(place.shared(store).path(once.NOTE))
    else:
        parts.await_first(store, mine)
    files.keep_spare(store)
    known = Path(store) / fingerprints.FILE  # of files that were read before
    with once.Shared(store, "plan"), fingerprints.kept(known):
        try:
            resolved = planning.resolve(experiment, world, overrides)
            return _planned(resolved, store, images_per_shard, mine, finished, over)
        except once.BAD_INPUT:
            files.remove(Path(store) / FILE)
            resolved = planning.resolve(experiment, world, overrides, inputs=False)
            _planned(resolved, store, images_per_shard, mine)
            raise
    return []


def _planned(
    resolved: planning.Plan,
    store: str,
    images_per_shard: int,
    mine: parts.Part,
    finished: bool = True,
    over: Collection[str] = (),
) -> list[str]:
    from unpromptable import tracking

    run = resolved.run(images_per_shard)
    target = Path(store) / FILE
    # what was asked and where it is kept: a repeated or continued run is the same sweep
    key = f"{files.address(target)}:{run.key[:16]}"
    cells = tuple(
        tracking.Tracked(s.slug, s.name, s.keys["unlearned"], rows.flat(run.experiment, s)) for s in run.cells
    )
    sweep = tracking.Sweep(run.experiment.name, key, cells)
    run = run.with_runs(tracking.open_runs(store, sweep))
    files.write_text(target, run.to_text())
    reused.renamed(run, store)
    chosen = mine.of(run.longest_first())
    for spec in (s for s in chosen if s.name not in over):
        files.remove(spec.place(store).path(once.NOTE))
    parts.note(store, mine, "planned")
    return [run.id(spec) for spec in (chosen if finished else complete.left(run, chosen, store))]

"""A run of two cells, one of which failed, for the tests of tracking."""

import json

from finished_run import around, row

from unpromptable import tracking
from unpromptable.scoring.estimates import Estimate

CELLS = (
    tracking.Tracked("ours", "Ours", "k1", {"method": "surrogate", "method.beta": 5e-5}),
    tracking.Tracked("neggrad", "NegGrad", "k2", {"method": "neggrad"}),
)
SWEEP = tracking.Sweep("demo", "sweep", CELLS)


def rows(store):
    """The rows and the histories by cell, of files made in the store."""
    for cell in ("ours", "neggrad"):
        folder = store / "cells" / cell
        (folder / "unlearned").mkdir(parents=True, exist_ok=True)
        (folder / "unlearned" / "w.txt").write_text("weights")
        (folder / "history.jsonl").write_text(
            "".join(
                json.dumps({"step": i + 1, "target": "a", "remember": 1 / (i + 1)}) + "\n" for i in range(20)
            )
        )
    (store / "rows.json").write_text("[]")
    nothing = dict.fromkeys(("sscd", "fid_pre", "sscd_target"))
    once = {"sscd_target": Estimate(0.9, None, None, 1)}  # of a single value there is no interval
    made = [
        row("ours", 0.2, 0.2, metrics={k: around(0.2, 0.1) for k in nothing} | once),
        row("neggrad", 0.2, 0.2, metrics=nothing, status="failed", error="unlearn: nan"),
    ]
    return made, {r.cell: store / r.folder / "history.jsonl" for r in made}


def all_runs(store):
    """The client of a local run's database, and every run in it."""
    client = tracking.client(str(store))
    return client, client.search_runs([e.experiment_id for e in client.search_experiments()])

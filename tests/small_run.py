"""A whole run of two small cells, its steps one after another in this process."""

import json
import sys
from pathlib import Path

from unpromptable.execution import plan_step, prepare_step, report_step, sample_step, score_step, unlearn_step
from unpromptable.planning import spec as planned

TEXT = """
name: small
forget: ['0012-3']
sampling: {images: 4, steps: 2, batch: 4, shards: 2}
injection: {t: 20, draws: 2, stride: 10}
base: {training: {steps: 2, batch: 2, save_every: 1}}
cells:
- {name: Ours, editor: flip}
- {name: Naive, method: naive, editor: flip}
"""


def begin(store, text):
    """Everything up to the cells' sampling; the cells' ids in the experiment's order."""
    plan_step.plan(text, "", {}, str(store))
    sample_step.sample(prepare_step.prepare(text, str(store)), str(store), 0, 1)
    run = planned.read(store)
    ids = [run.id(spec) for spec in run.cells]
    for cell in ids:
        unlearn_step.unlearn(cell, str(store), "")
    return run, ids


def run(store, text=TEXT):
    """Run every step; the rows, without what differs from run to run."""
    cells = plan_step.plan(text, "", {}, str(store))
    shared = prepare_step.prepare(text, str(store))
    if shared:
        sample_step.sample(shared, str(store), 0, 1)
    for cell in cells if shared else ():
        unlearn_step.unlearn(cell, str(store), "")
        sample_step.sample(cell, str(store), 0, 1)
        score_step.score(cell, str(store))
    report_step.report(str(store), text, "SUCCEEDED")
    return rows(store)


def rows(store):
    """rows.json without times and identifiers of MLflow."""
    found = json.loads((store / "rows.json").read_text())
    return [{k: v for k, v in row.items() if k not in ("seconds", "took", "run_id")} for row in found]


if __name__ == "__main__":
    run(Path(sys.argv[1]))

"""The page of all tables: claims on top, each run beside the paper's numbers, one run after another with
failures let through.
"""

import json
import re
from argparse import Namespace
from dataclasses import replace

import pytest
from finished_run import EXPERIMENT, row, store  # noqa: F401  (store is a fixture)
from rich.console import Console

from pipelines.cli import local, paper, reuse
from unpromptable.paper import overview, theory
from unpromptable.planning import plan
from unpromptable.planning.spec import Run, shared_spec
from unpromptable.reporting.row import write_rows
from unpromptable.storage import files

PAPER = plan.read_yaml("table4")["paper"]
KEYS = dict.fromkeys(("pretrained", "data", "samples"), "k")


def fill(out, names=("good", "better", "keeps")):
    """A finished run of Table IV in the folder that the fixture made."""
    rows = [
        row(p["name"], p["sscd"], p["lpips"], group=p["name"], cell=c, folder=f"cells/{c}")
        for p, c in zip(PAPER, names)
    ]
    write_rows(out / "rows.json", rows)
    told = {"name": "table4", "title": "Table IV, gradient surgery", "paper": tuple(PAPER)}
    run = Run(replace(EXPERIMENT, **told), shared_spec(EXPERIMENT.forget, KEYS), (), (), "key")
    (out / "experiment.json").write_text(run.to_text())


def test_the_page_holds_claims_tables_and_theory_and_needs_nothing_from_elsewhere(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("paper")
    store.rename(out / "table4")
    fill(out / "table4")
    (out / "theory").mkdir()
    theory.main(["--out", str(out / "theory"), "--problems", "20"])
    page, verdicts = overview.write(out, ["table1", "table4"], "miniature")
    text = page.read_text()
    assert not re.search(r'(src|href)="(?!data:|#|table4/report.html)', text)
    assert "Table IV, gradient surgery" in text and "the paper&#39;s" in text or "the paper's" in text
    assert (
        text.count('<tr><td><span class="badge')
        == len(verdicts)
        == len(json.loads((out / "claims.json").read_text()))
    )
    found = {v.claim.id: v.answer for v in verdicts}
    assert (
        found["theorem-1"] == "holds"
        and found["t4-same-forgetting"] in ("holds", "cannot be told")
        and found["t1-lpips"] == "cannot be told"
    )


def test_a_failed_experiment_lets_the_others_run_and_the_code_tells(tmp_path_factory, store, monkeypatch):
    ran, out = [], tmp_path_factory.mktemp("paper")

    def run(a, console):
        ran.append(a.experiment)
        if a.experiment == "table4":
            store.rename(out / "table4")
            fill(out / "table4")
        return 1 if a.experiment == "table3" else 0

    monkeypatch.setattr(local, "run", run)
    a = Namespace(world="miniature", out=str(out), only=["table3", "table4"], set=[], threads=0)
    assert paper.run(a, Console(quiet=True)) == 1 and ran == ["table3", "table4"]
    assert "Table IV" in (out / "overview.html").read_text()
    with pytest.raises(ValueError, match="--only tabel4: no such experiment; choose from figure8, table1"):
        paper.run(Namespace(**{**vars(a), "only": ["tabel4"]}), Console(quiet=True))


def test_a_cell_that_two_experiments_share_is_copied_with_its_marks_and_scored_anew(tmp_path):
    made, wanted = (plan.resolve(n, "miniature") for n in ("table3", "table4"))
    theirs, mine = made.run().cells, wanted.run().cells
    key = lambda spec: spec.keys["unlearned"]
    shared = next(s for s in theirs if key(s) in {key(w) for w in mine})
    (tmp_path / "table3").mkdir()
    (tmp_path / "table3" / "experiment.json").write_text(made.run().to_text())
    for folder, file in (
        ("shared", "before.safetensors"),
        *((s.folder, f) for s in theirs for f in ("after.safetensors", "row.json")),
    ):
        (tmp_path / "table3" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "table3" / folder / file).write_text(folder)
        files.finish(tmp_path / "table3" / folder / file, key(shared))
    reuse.bring(tmp_path, "table4", wanted, Console(quiet=True))
    ours = next(s for s in mine if key(s) == key(shared))
    assert ours.name == "project g_f" and shared.name == "β = 1e-4" and ours.folder != shared.folder
    after = tmp_path / "table4" / ours.folder / "after.safetensors"
    assert (
        files.finished(after, key(ours))
        and after.read_text() == shared.folder
        and (tmp_path / "table4" / "shared" / "before.safetensors").is_file()
    )
    assert (
        sorted(p.name for p in after.parent.iterdir()) == [".after.safetensors.done", "after.safetensors"]
        and len(list((tmp_path / "table4" / "cells").iterdir())) == 1
    )
    after.write_text("ours")
    reuse.bring(tmp_path, "table4", wanted, Console(quiet=True))
    assert after.read_text() == "ours"
    reuse.bring(tmp_path, "table6", plan.resolve("table6", "miniature"), Console(quiet=True))
    assert not (tmp_path / "table6").exists()

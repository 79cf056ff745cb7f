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

from pipelines.cli import local, options, paper, reuse
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
        row(p["name"], p["sscd"], p["lpips"], line=p["name"], cell=c, folder=f"cells/{c}")
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
    a = Namespace(world="miniature", out=str(out), only=["table3", "table4"], set=[], threads=0, full=False)
    assert paper.run(a, Console(quiet=True)) == 1 and ran == ["table3", "table4"]
    assert "Table IV" in (out / "overview.html").read_text()
    with pytest.raises(ValueError, match="--only tabel4: no such experiment; choose from figure8, table1"):
        paper.run(Namespace(**{**vars(a), "only": ["tabel4"]}), Console(quiet=True))
    with pytest.raises(ValueError, match=r"--only why: not on this page \(`local why` runs it\)"):
        paper.run(Namespace(**{**vars(a), "only": ["why"]}), Console(quiet=True))


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


def planned(name, world="miniature", full=True, **more):
    """The plan of one experiment as the command asks for it."""
    a = Namespace(world=world, set=[f"{k}={v}" for k, v in more.items()], threads=0, full=full)
    one = paper.asked(a, name, files.named("runs"))
    return plan.resolve(one.experiment, one.world, options.overrides(one), inputs=False)


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4", "table5", "table6"])
def test_in_full_every_line_has_six_targets(name):
    found = planned(name)
    lines = {}
    for cell in found.cells:
        lines.setdefault(cell.group or cell.name, set()).add(cell.forget)
    usual = {c.group or c.name for c in planned(name, full=False).cells}
    assert {len(of) for of in lines.values()} == {6} and set(lines) == usual
    assert set(found.experiment.forget) == {t for of in lines.values() for (t,) in of}
    some = planned(name, **{"training.steps": 7}).cells
    assert {c.training.steps for c in some} == {7}


def test_in_full_more_images_are_drawn_where_too_few_left_claims_open():
    images = lambda name, full: planned(name, full=full).experiment.sampling.images
    assert {n: (images(n, False), images(n, True)) for n in ("table3", "table4")} == dict.fromkeys(
        ("table3", "table4"), (96, 256)
    )


def test_what_has_no_full_form_is_run_as_it_is():
    assert planned("figure8") == planned("figure8", full=False)
    assert planned("table1", "paper", real="/x").cells == planned("table1", "paper", False, real="/x").cells


def test_in_full_the_page_has_a_folder_of_its_own(tmp_path, monkeypatch):
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "run", lambda a, console: seen.append((a.out, a.set)) or 1)
    for full in (False, True):
        a = Namespace(world="miniature", out="", only=["table4"], set=[], threads=0, full=full)
        assert paper.run(a, Console(quiet=True)) == 1
    runs = tmp_path / "runs"
    assert seen == [
        (str(runs / "paper" / "table4"), []),
        (str(runs / "paper-full" / "table4"), ["full=true"]),
    ]
    assert (runs / "paper-full" / "overview.html").is_file()

"""With `sampling.when: forgets` the injection test comes first, and what does not forget is not sampled."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import small_run

from unpromptable import data, tracking
from unpromptable.execution import injecting, pieces, plan_step, report_step, sample_step, score_step
from unpromptable.planning import plan
from unpromptable.planning import spec as planned
from unpromptable.reporting import groups, rows, unsampled
from unpromptable.scoring import verdict

CELLS = """- {name: Kept, method: naive, editor: flip}
- {name: Gone, method: neggrad, editor: flip, training: {lr: 0.05}}
"""
FAR = small_run.TEXT.replace("t: 20, draws: 2, stride: 10", "t: 400, draws: 2, stride: 100")
TEXT = FAR.partition("cells:")[0] + "cells:\n" + CELLS
FIRST = TEXT.replace("sampling: {", "sampling: {when: forgets, ")
LINE = TEXT.partition("cells:")[0] + (
    "cells:\n- {name: A, group: g, method: naive, editor: flip, forget: ['0012-3']}\n"
    "- {name: B, group: g, method: naive, editor: flip, forget: ['0013-3']}\n"
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A run that draws every cell's images, and its rows."""
    store = tmp_path_factory.mktemp("always")
    return store, small_run.run(store, TEXT)


def without_when(found):
    return [
        {**r, "settings": {k: v for k, v in r["settings"].items() if k != "sampling.when"}} for r in found
    ]


def test_what_does_not_forget_is_not_sampled_and_its_row_says_why(tmp_path, drawn, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    _, full = drawn
    kept, gone = small_run.run(tmp_path, FIRST)
    assert kept["status"] == "unsampled" and gone["status"] == "done"
    assert kept["sscd"] == full[0]["sscd"] and kept["lpips"] is None and kept["fid_pre"] is None
    assert kept["error"] == f"not sampled: does not forget, SSCD {kept['sscd']['mean']:.2f}"
    assert not list((tmp_path / kept["folder"]).glob("*samples-*")) and kept["sscd"]["mean"] > 0.4
    assert without_when([gone]) == without_when([full[1]])
    page, text = ((tmp_path / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert kept["error"] in page and kept["error"] in text and "not succeed" not in page
    client = tracking.client(str(tmp_path))
    tags = client.search_runs(
        [e.experiment_id for e in client.search_experiments()], "attributes.run_name = 'Kept'"
    )
    assert tags[0].data.tags["unsampled"] == kept["error"] and tags[0].info.status == "FINISHED"
    assert tags[0].data.metrics["sscd"] == pytest.approx(kept["sscd"]["mean"])
    told = json.loads((tmp_path / "rows.json").read_text())
    assert [list(r["took"]) for r in told] == [
        ["edit", "unlearn", "inject", "judge"],
        ["edit", "unlearn", "inject", "judge", "sample", "gather", "score"],
    ]
    spent = told[0]["took"]["inject"]["seconds"]
    assert tags[0].data.metrics["took/inject/seconds"] == spent > 0 and "What it took" in page + text


def test_a_run_that_draws_all_afterwards_has_the_rows_of_one_that_did_from_the_start(tmp_path, drawn):
    store, full = drawn
    (gone,) = [r["folder"] for r in full if r["name"] == "Gone"]
    small_run.run(tmp_path, FIRST)
    one, other = (data.load(where / gone / "after.safetensors")[0] for where in (store, tmp_path))
    assert one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)
    assert small_run.run(tmp_path, TEXT) == full


def test_the_test_of_a_cell_whose_images_are_all_drawn_is_taken_from_them(tmp_path, drawn, monkeypatch):
    store, full = drawn
    shutil.copytree(store, tmp_path / "run")
    ids = plan_step.plan(FIRST, "", {}, str(tmp_path / "run"))
    monkeypatch.setattr(pieces, "together", lambda *_: pytest.fail("drawn again"))
    for cell in ids:
        sample_step.sample(cell, str(tmp_path / "run"), 0, 1)
    for spec, row in zip(planned.read(tmp_path / "run").cells, full):
        assert unsampled.judged(spec, tmp_path / "run")["sscd"].mean == row["sscd"]["mean"]
        made = injecting.drawn(spec, str(tmp_path / "run"), spec.targets)
        whole, _ = data.load(tmp_path / "run" / spec.folder / "after.safetensors", *made)
        assert len(made) == 1 and all(np.array_equal(made[k], whole[k]) for k in made)


def test_pods_of_one_cell_decide_alike_and_a_resumed_one_judges_nothing_anew(tmp_path, monkeypatch):
    run, ids = small_run.begin(tmp_path, FIRST)
    for pod in (1, 0):
        for cell in ids:
            sample_step.sample(cell, str(tmp_path), pod, 2)
    kept, gone = (unsampled.decision(spec, tmp_path) for spec in run.cells)
    assert not kept.draw and gone.draw
    monkeypatch.setattr(injecting, "_judge", lambda *_: pytest.fail("judged again"))
    monkeypatch.setattr(injecting, "_inject", lambda *_: pytest.fail("denoised again"))
    for cell in ids:
        sample_step.sample(cell, str(tmp_path), 0, 2)
        score_step.score(cell, str(tmp_path))
    assert [r.status for r in rows.collect(str(tmp_path))] == ["unsampled", "done"]


def test_a_line_that_forgets_is_drawn_whole_though_one_of_its_targets_is_not_forgotten(tmp_path, monkeypatch):
    full = small_run.run(tmp_path / "full", LINE)
    means = [r["sscd"]["mean"] for r in full]
    for module in (injecting, unsampled, verdict):
        monkeypatch.setattr(module, "THRESHOLD", float(np.mean([np.mean(means), max(means)])))
    run, ids = small_run.begin(tmp_path, LINE.replace("sampling: {", "sampling: {when: forgets, "))
    first, last = sorted(range(2), key=lambda i: -means[i])
    for i in (first, last):
        sample_step.sample(ids[i], str(tmp_path), 0, 1)
        score_step.score(ids[i], str(tmp_path))
        if i == first:
            assert rows.collect(str(tmp_path))[i].status == "unsampled"
    assert unsampled.decision(run.cells[last], tmp_path).also == (run.cells[first].folder,)
    report_step.report(str(tmp_path), LINE, "SUCCEEDED")
    assert without_when(small_run.rows(tmp_path)) == without_when(full)


def test_a_sweep_over_targets_and_seeds_makes_lines_and_pairs_of_what_forgot(tmp_path):
    """Ours is broken by its rate and so forgets everything; Naive forgets nothing, and draws nothing."""
    text = FAR.partition("cells:")[0].replace("sampling: {", "sampling: {when: forgets, ") + (
        "cells:\n- {name: Ours, method: neggrad, editor: flip, training: {lr: 0.05}}\n"
        "- {name: Other, method: neggrad, editor: flip, training: {lr: 0.06}}\n"
        "- {name: Naive, method: naive, editor: flip}\n"
        "sweep: {forget: [['0012-3'], ['0013-3']], training.seed: [0, 1]}\n"
    )
    found = small_run.run(tmp_path, text.replace("forget: ['0012-3']\n", ""))
    ours, other, naive = json.loads((tmp_path / "groups.json").read_text())
    of = lambda name: [r for r in found if r["line"] == name]
    assert len({json.dumps(r["lpips"]) for r in of("Ours")}) == 4  # another seed is another training
    means = [np.mean([r["lpips"]["mean"] for r in of("Ours")[i : i + 2]]) for i in (0, 2)]
    assert ours["lpips"]["mean"] == pytest.approx(np.mean(means)) and ours["lpips"]["n"] == 2
    assert list(ours["by_seed"]["0012-3"]) == ["0", "1"] and other["finished"] == 4
    assert naive["status"] == "unsampled" and naive["finished"] == 0
    page, text = ((tmp_path / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert "| Other | 4 of 4 | 4 (2 targets) |" in text and "| Naive | 0 of 4 |  | never gets there" in text
    assert "Pair by pair" in page and "Ours, seed 1" in page


def test_a_line_of_which_a_row_was_not_sampled_shows_the_mean_over_all_that_were_judged():
    from finished_run import around, row

    of = lambda t, sscd, **more: row(f"Ours {t}", sscd, 0.1, line="Ours", settings={"forget": t}, **more)
    none = {"labels": {}, "surrogates": (), "seconds": {}, "status": "unsampled", "error": "not sampled"}
    left = of("b", 0.9, **none, metrics={"sscd": around(0.9), "lpips": None})
    (line,) = groups.collect([of("a", 0.1), left])
    assert line.status == "unsampled" and line.value("sscd").mean == pytest.approx(0.5)
    assert (
        line.metrics["lpips"] is None and not verdict.forgets(line) and verdict.best([line], "lpips") is None
    )
    assert line.error == "not sampled: does not forget, SSCD 0.50"


def test_a_line_of_which_no_row_was_sampled_shows_the_mean_over_all_that_were_judged():
    from finished_run import around, row

    none = {"labels": {}, "surrogates": (), "seconds": {}, "status": "unsampled", "error": "not sampled"}
    of = lambda t, sscd: row(f"Ours {t}", sscd, 0.1, line="Ours", settings={"forget": t}, **none)
    (line,) = groups.collect(
        [replace(of(t, v), metrics={"sscd": around(v)}) for t, v in (("a", 0.8), ("b", 1))]
    )
    assert line.status == "unsampled" and line.value("sscd").mean == pytest.approx(0.9)
    assert line.value("sscd").n == 2 and line.each == {"a": {"sscd": 0.8}, "b": {"sscd": 1}}


def test_seeds_of_a_target_weigh_as_much_as_the_one_seed_of_another():
    assert unsampled.of_line([("a", 0.2), ("b", 0.5), ("b", 0.7)]) == pytest.approx(0.4)
    assert unsampled.reason([("a", 0.2), ("b", 0.5), ("b", 0.9)]).endswith("does not forget, SSCD 0.45")


@pytest.mark.parametrize("name", ["table1", "table2", "table5", "table6", "figure8", "demo", "equal"])
def test_the_mates_of_a_cell_are_the_rows_of_its_line(name):
    run = plan.resolve(name, inputs=False).run()
    found = [
        rows.Row(**rows.head(run.experiment, s), status="failed", error="", metrics={}) for s in run.cells
    ]
    folders = {r.name: r.folder for r in found}
    lines = [{folders[m] for m in line.members} for line in groups.collect(found)]
    for spec in run.cells:
        assert {spec.folder, *spec.mates} in lines


def test_a_decision_in_the_store_is_read_as_it_was_written(tmp_path):
    (spec, _) = plan.resolve(TEXT, inputs=False).run().cells
    made = unsampled.output(spec, tmp_path)
    assert unsampled.decision(spec, tmp_path) is None
    from unpromptable.storage import files

    files.write_text(made.path, json.dumps({"draw": False, "also": ["cells/x"]}))
    files.finish(made.path, made.key)
    assert unsampled.decision(spec, tmp_path) == unsampled.Decision(False, ("cells/x",))

"""With `sampling.stop: dominated` a cell draws no further once another that forgets is sure to be better."""

import json

import numpy as np
import pytest
import small_run
from planned_settings import refused

from unpromptable import data
from unpromptable.execution import looking, sample_step
from unpromptable.planning import shards as parts
from unpromptable.planning import spec as planned
from unpromptable.planning.settings import Sampling
from unpromptable.planning.shards import shards
from unpromptable.reporting import early, pareto, rows, tables
from unpromptable.reporting.row import Row
from unpromptable.scoring import verdict

# two targets, of which the second's draws would lie in a shard that is never drawn
HEAD = (
    small_run.TEXT.partition("cells:")[0]
    .replace("t: 20, draws: 2, stride: 10", "t: 400, draws: 2, stride: 100")
    .replace("['0012-3']", "['0012-3', '0013-3']")
)
TEXT = HEAD.replace(
    "images: 4, steps: 2, batch: 4, shards: 2", "images: 16, steps: 2, batch: 8, shards: 2"
) + (
    "cells:\n- {name: Better, method: neggrad, editor: flip, training: {lr: 0.05}}\n"
    "- {name: Worse, method: neggrad, editor: flip, training: {lr: 0.06}}\n"
)
STOPS = TEXT.replace("sampling: {", "sampling: {when: forgets, stop: dominated, ")


@pytest.fixture
def known(monkeypatch):
    """Who is better is known, and how many images were asked about it."""
    asked = []

    def dominates(one, other, n, level):
        assert one.name != other.name and level == early.ALPHA / 2
        asked.append((one.name, other.name, n))
        return one.name == "Better"

    monkeypatch.setattr(early, "dominates", dominates)
    return asked


def plain(found):
    own = ("sampling.when", "sampling.stop")
    return [{**r, "settings": {k: v for k, v in r["settings"].items() if k not in own}} for r in found]


def test_a_dominated_cell_stops_and_draws_the_rest_once_it_is_asked_to(tmp_path, known):
    full = small_run.run(tmp_path / "full", TEXT)
    better, worse = small_run.run(tmp_path / "run", STOPS)
    assert known == [("Better", "Worse", 8)]
    assert plain([better]) == plain([full[0]]) and "stopped" not in better
    said = "stopped at 8 of 16 images, dominated by Better; its Fréchet distances are of as many"
    assert (
        worse["stopped"] == f"{said} and not compared"
        and worse["status"] == "done"
        and worse["sscd"] == full[1]["sscd"]
    )
    assert {worse[k]["n"] for k in ("lpips", "ssim", "fid_pre", "fid_real")} == {8}
    one, other = (
        data.load(tmp_path / run / worse["folder"] / "after.safetensors")[0] for run in ("run", "full")
    )
    assert len(one["samples"]) == 8 and np.array_equal(one["samples"], other["samples"][:8])
    page, text = ((tmp_path / "run" / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert said in page and said in text and "(n = 8)" in page and "(n = 8)" in text
    assert small_run.run(tmp_path / "run", STOPS) == [better, worse] and len(known) == 1
    assert plain(small_run.run(tmp_path / "run", TEXT)) == plain(full)


RIVAL = "- {name: Better, method: neggrad, editor: flip, training: {lr: 0.05}}\n"


@pytest.mark.parametrize(
    "change, by",
    [
        (lambda text: text, "Better"),
        (lambda text: text.replace("Better", "Renamed"), "Renamed"),
        (lambda text: text.replace(RIVAL, ""), None),
        (lambda text: text.replace("lr: 0.05", "lr: 0.07"), None),
    ],
)
def test_a_cell_stays_stopped_while_the_cell_that_dominates_it_is_of_the_run_as_it_was(tmp_path, change, by):
    from unpromptable.planning import plan
    from unpromptable.reporting import stopped
    from unpromptable.storage import files

    better, worse = plan.resolve(STOPS).run().cells
    note = stopped.output(worse, tmp_path)
    files.write_text(note.path, json.dumps({"images": 8, "by": "Better", "key": better.keys["samples"]}))
    files.finish(note.path, note.key)
    run = plan.resolve(change(STOPS)).run()
    (tmp_path / "experiment.json").write_text(run.to_text())
    found = stopped.read(run.experiment, run.cells[-1], tmp_path)
    assert (found and found.by) == by
    looking.in_turn(run, run.cells[-1], str(tmp_path), lambda shard: note)
    assert note.path.exists() == bool(by)


def test_one_pod_draws_and_what_was_drawn_past_is_not_looked_at(tmp_path, known):
    run, (better, worse) = small_run.begin(tmp_path, STOPS)
    sample_step.sample(worse, str(tmp_path), 1, 2)
    assert not list((tmp_path / run.cells[1].folder).glob("samples-*"))
    sample_step.sample(worse, str(tmp_path), 0, 2)
    sample_step.sample(better, str(tmp_path), 0, 2)
    sample_step.sample(worse, str(tmp_path), 0, 2)
    assert (
        known == [("Worse", "Better", 8)]
        and len(list((tmp_path / run.cells[1].folder).glob("samples-*"))) == 2
    )
    assert not (tmp_path / run.cells[1].folder / "stopped.json").exists()
    own = looking._paired(planned.read(tmp_path), run.cells[1], str(tmp_path))
    assert own.name == "Worse" and len(own.values["lpips"]) == 8


def test_what_stopped_is_on_no_front_and_its_frechet_distances_are_not_compared():
    from finished_run import row

    whole, few = row("Whole", 0.2, 0.2), row("Few", 0.3, 0.1, stopped="stopped at 8 of 16 images")
    assert verdict.best([whole, few], "fid_pre") == "Whole" and verdict.best([whole, few], "lpips") == "Whole"
    assert pareto.front([whole, few], "lpips", -1) == ["Whole"]
    assert [c.text.endswith("(n = 12)") for c in tables.cells(few, [whole, few])] == [False] * 3 + [True] * 2
    assert Row.from_json(json.loads(json.dumps(few.to_json()))) == few


@pytest.mark.parametrize(
    "images, batch, told", [(96, 32, [32, 64, 96]), (10_000, 64, [640, 1280, 2560, 5056, 10_000])]
)
def test_prefixes_are_whole_batches_and_shards_end_at_them(images, batch, told):
    asked = Sampling(images=images, batch=batch, shards=2, when="forgets", stop="dominated")
    assert parts.prefixes(asked) == told
    pieces = shards(asked, 1000)
    ends = [p["first"] + p["count"] for p in pieces]
    assert set(told) <= set(ends) and ends[-1] == images and all(e % batch == 0 for e in ends[:-1])
    assert [p["shard"] for p in pieces] == list(range(len(pieces))) and {p["shards"] for p in pieces} == {
        len(pieces)
    }


def test_stopping_needs_the_injection_test_first():
    told = refused({"sampling.stop": "dominated"})
    assert told.startswith("sampling.stop is dominated") and told.endswith("set sampling.when=forgets")


def test_cells_of_a_line_of_several_targets_are_never_stopped(tmp_path):
    from unpromptable.planning import plan
    from unpromptable.reporting import stopped

    sets = {"sampling.when": "forgets", "sampling.stop": "dominated"}
    run = plan.resolve("table1", "", sets, inputs=False).run()
    assert all(spec.mates and not stopped.may(run.experiment, spec) for spec in run.cells)
    alone = plan.resolve("table3", "", sets, inputs=False).run()
    assert all(stopped.may(alone.experiment, spec) for spec in alone.cells)
    assert not stopped.may(alone.experiment, alone.shared) and rows.of_all(alone, str(tmp_path))

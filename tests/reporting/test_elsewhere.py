"""Models that were unlearned elsewhere: each is a line of its own, and says whose folder was judged."""

from test_paired import cell

from unpromptable.planning import plan, reading
from unpromptable.reporting import groups, rows

TEXT = {
    "name": "rivals",
    "forget": ["0012-3"],
    "cells": [
        {"name": "Ours", "method": "surrogate"},
        {"name": "Trained again", "unlearned": "runs/reference"},
        {"name": "Their SISS", "unlearned": "runs/siss"},
    ],
}


def given(name, folder, sscd, line=""):
    told = {"method": rows.GIVEN, "forget": "a", "unlearned": folder}
    return cell(name, "a", 0, sscd, 0.1, line=line, settings=told)


def planned(*cells):
    return plan.resolve(reading.write({**TEXT, "cells": list(cells)}), inputs=False).run()


def test_models_of_two_folders_are_two_lines_and_one_that_was_trained_here_a_third():
    run = planned(*TEXT["cells"])
    ours, again, siss = (rows.flat(run.experiment, s) for s in run.cells)
    assert "unlearned" not in ours and ours["method"] == "surrogate" and "training.steps" in ours
    assert (again["unlearned"], siss["unlearned"]) == ("runs/reference", "runs/siss")
    for told in (again, siss):
        assert told["method"] == "unlearned elsewhere"
        assert not [k for k in told if k.startswith(("training", "editor", "method."))]
    lines = groups.collect(
        [given("Trained again", "runs/reference", 1.0), given("Their SISS", "runs/siss", 0.1)]
    )
    assert [line.members for line in lines] == [("Trained again seed 0, a",), ("Their SISS seed 0, a",)]


def test_several_folders_are_one_line_where_a_group_says_so_each_as_a_seed():
    seeds = [given(f"SISS {k}", f"runs/siss-{k}", 0.1 * k, "SISS") for k in (1, 2)]
    (line,) = groups.collect(seeds)
    assert len(line.members) == 2 and abs(line.value("sscd").mean - 0.15) < 1e-9
    assert set(line.by_seed["a"]) == {"runs/siss-1", "runs/siss-2"}


def test_a_group_of_given_models_decides_together_whether_it_is_sampled():
    cells = [{"name": f"SISS {k}", "unlearned": f"runs/siss-{k}"} for k in (1, 2)]
    mates = lambda cells: [len(s.mates) for s in planned(*cells).cells]
    assert mates(cells) == [0, 0] and mates([{**c, "group": "SISS"} for c in cells]) == [1, 1]

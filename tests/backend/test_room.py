"""A pod that asks for less memory than its step needs is told before it is made."""

from math import nan

import pytest

from pipelines.backend import driver, room
from pipelines.cli.options import COMPILED
from unpromptable.planning import memory, plan

GIB = 2**30


def found(arguments, *peaks):
    return [(f.ok, f.text, f.remedy) for f in room.fits(driver.pods(COMPILED, arguments), peaks)]


def peak(step, cell="", gib=1.0, **more):
    return memory.Peak(step, cell, gib * GIB, 0.0, **more)


def test_the_cell_that_needs_most_is_named_with_a_remedy():
    told = found({"memory": "8Gi"}, peak("unlearn", "A", 2), peak("unlearn", "B", 9), peak("sample", "A", 1))
    assert told == [
        (
            False,
            "unlearn B needs about 9.7Gi, and its pod asks for 8.0Gi",
            "ask for more with --memory, or lower training.micro_batch",
        )
    ]


def test_steps_that_fit_are_told_in_one_line():
    [(ok, text, _)] = found({"memory": "16Gi"}, peak("unlearn", "B", 9), peak("report", "", 1, light=True))
    assert ok and text == "about unlearn 9.7Gi of 16.0Gi, report 1.4Gi of 4.0Gi"


def test_a_light_pod_is_changed_where_it_is_compiled():
    [(ok, _, remedy)] = found({}, peak("report", "", 5, light=True))
    assert not ok and "light_memory in pipelines/pods.py" in remedy


@pytest.mark.parametrize("gpus, small", [("0", {"sample", "unlearn"}), ("1", set())])
def test_networks_count_where_they_run(gpus, small):
    resolved = plan.resolve("table1", "paper", {}, inputs=False)
    told = found({"memory": "8Gi", "gpus": gpus}, *memory.peaks(resolved))
    assert {text.split()[0] for ok, text, _ in told if not ok} == small


def test_what_is_not_known_is_said():
    [(ok, text, _)] = found({}, memory.Peak("score", "A", nan, nan), peak("plan", light=True))
    assert ok and text.endswith("not known for score")

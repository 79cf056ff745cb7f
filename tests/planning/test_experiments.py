"""The experiments that ship resolve in either world, and their paper rows stand beside the lines of their
names.
"""

from importlib import resources

import pytest

from unpromptable.planning import plan

SHIPPED = sorted(
    p.name[:-5] for p in (resources.files("pipelines") / "experiments").iterdir() if p.name.endswith(".yaml")
)


@pytest.mark.parametrize("world", plan.worlds())
@pytest.mark.parametrize("name", SHIPPED)
def test_every_experiment_resolves_in_its_world_and_names_the_papers_rows(name, world):
    given = plan.read_yaml(name)
    if given.get("world", world) != world or (world == "paper" and "worlds" not in given):
        pytest.skip("written for one world")
    resolved = plan.resolve(name, world, inputs=False)
    lines = {c.group or c.name for c in resolved.cells}
    assert {p["name"] for p in resolved.experiment.paper} <= lines
    assert resolved.experiment.world == world and all(c.forget for c in resolved.cells)


def test_equal_forgetting_is_six_targets_by_three_seeds_by_eight_lines_and_can_be_restricted():
    resolved = plan.resolve("equal")
    assert len(resolved.cells) == 144 and len({c.group for c in resolved.cells}) == 8
    assert len({(c.forget, c.training.seed) for c in resolved.cells}) == 18
    assert {c.origin for c in resolved.cells} == {"tuned on our stage"}
    assert resolved.experiment.sampling.when == "forgets"
    sets = {"forget": [["0004-3"], ["0104-3"], ["0204-3"]], "training.seed": [0]}
    few = plan.resolve("equal", "", sets)
    assert len(few.cells) == 24 and few.targets() == ("0004-3", "0104-3", "0204-3")
    assert {len(s.mates) for s in few.run().cells} == {2}


@pytest.mark.parametrize("name, cells, lines", [("table2", 21, 7), ("table5", 12, 4)])
def test_a_sweep_is_three_targets_per_setting(name, cells, lines):
    resolved = plan.resolve(name)
    assert (
        len(resolved.cells) == cells
        and len({c.group for c in resolved.cells}) == lines
        and len(resolved.targets()) == 3
    )
    assert len({s.keys["surrogates"] for s in resolved.run().cells}) == cells

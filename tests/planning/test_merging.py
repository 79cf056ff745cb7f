"""World defaults, an experiment, its cells, its sweep and overrides, laid over one another."""

from planned_settings import BASE, resolve

from unpromptable.planning import plan, reading


def test_world_defaults_lie_under_the_experiment_and_the_overrides_on_top():
    p = resolve(
        {"training.lr": 0.5, "method.beta": 1e-4, "sampling.images": 9}, base={"training": {"batch": 4}}
    )
    ours, neggrad = p.cells
    assert (ours.training.steps, neggrad.training.steps) == (160, 10)
    assert ours.training.batch == neggrad.training.batch == 4 and ours.training.lr == 0.5
    assert ours.method.settings == {"beta": 1e-4} and "beta" not in neggrad.method.settings
    assert p.experiment.sampling.images == 9


def test_a_worlds_defaults_of_an_editor_lie_under_what_the_experiment_says_of_it():
    at = lambda editor, overrides=None, world="": (
        plan.resolve(
            reading.write({**BASE, "cells": [{"method": "surrogate", "editor": editor}]}),
            world,
            overrides or {},
            inputs=False,
        )
        .cells[0]
        .editor.settings
    )
    shipped = plan.read_world("miniature")["reals"]["miniature"]["editors"]["tedigan"]
    assert at("tedigan") == shipped and at("flip") == {} == at("flip", world="paper")
    asked = {"prompt": "a person with white hair", "clip_weight": 32}
    assert at("tedigan", world="paper") == asked, "its own, and none of the networks that ship"
    assert (
        at({"name": "tedigan", "folder": "mine"})
        == at({"name": "tedigan", "settings": {"folder": "mine"}})
        == shipped | {"folder": "mine"}
    )
    assert at("flip", {"editor": "tedigan", "editor.folder": "other", "editor.steps": 9}) == shipped | {
        "folder": "other",
        "steps": 9,
    }


def test_a_sweep_is_the_product_of_its_lists_and_names_its_points():
    p = resolve(
        cells=[{"method": "surrogate"}],
        sweep={"method.beta": [1e-5, 2e-5], "method.projection": ["none", "forget"]},
    )
    assert [c.name for c in p.cells] == [
        "beta 1e-05, projection none",
        "beta 1e-05, projection forget",
        "beta 2e-05, projection none",
        "beta 2e-05, projection forget",
    ]


def test_a_sweep_over_targets_names_each_cell_and_the_group_that_is_averaged():
    p = resolve(
        forget=[],
        cells=[{"method": "surrogate", "editor": "sdedit"}],
        sweep={"editor.strength": [0.2, 0.5], "forget": [["0012-3"], ["0004-3", "0007-0"]]},
    )
    assert [c.name for c in p.cells] == [
        "strength 0.2, 0012-3",
        "strength 0.2, 0004-3+0007-0",
        "strength 0.5, 0012-3",
        "strength 0.5, 0004-3+0007-0",
    ]
    assert [c.group for c in p.cells] == ["strength 0.2", "strength 0.2", "strength 0.5", "strength 0.5"]
    assert p.cells[1].forget == ("0004-3", "0007-0") and p.targets() == ("0012-3", "0004-3", "0007-0")


def test_cells_and_a_sweep_over_targets_multiply():
    p = resolve(forget=[], sweep={"forget": [["0012-3"], ["0004-3"]]})
    assert [(c.name, c.group) for c in p.cells] == [
        ("Ours, 0012-3", "Ours"),
        ("Ours, 0004-3", "Ours"),
        ("NegGrad, 0012-3", "NegGrad"),
        ("NegGrad, 0004-3", "NegGrad"),
    ]


def test_setting_a_swept_key_leaves_that_point_of_the_sweep_alone():
    p = resolve(
        {"method.beta": 3e-5, "forget": ["0007-0"]},
        cells=[{"method": "surrogate"}],
        sweep={"method.beta": [1e-5, 2e-5], "forget": [["0012-3"], ["0004-3"]]},
    )
    assert [(c.name, c.method.settings["beta"], c.forget) for c in p.cells] == [
        ("beta 3e-05, 0007-0", 3e-5, ("0007-0",))
    ]


def test_cells_that_differ_in_targets_and_training_seeds_are_one_group():
    cells = [{"name": "Ours", "method": "surrogate"}]
    swept = {"method.beta": [1e-5], "training.seed": [0, 1], "forget": [["0012-3"], ["0004-3"]]}
    p = resolve(forget=[], cells=cells, sweep=swept)
    assert [(c.name, c.group, c.training.seed) for c in p.cells] == [
        ("Ours beta 1e-05, seed 0, 0012-3", "Ours beta 1e-05", 0),
        ("Ours beta 1e-05, seed 1, 0012-3", "Ours beta 1e-05", 1),
        ("Ours beta 1e-05, seed 0, 0004-3", "Ours beta 1e-05", 0),
        ("Ours beta 1e-05, seed 1, 0004-3", "Ours beta 1e-05", 1),
    ]
    first = p.run().cells[0]
    assert len(first.mates) == 3 and len({s.keys["decision"] for s in p.run().cells}) == 1
    alone = resolve(cells=[{"method": "surrogate"}], sweep={"training.seed": [0, 1]})
    assert [(c.name, c.group) for c in alone.cells] == [("seed 0", "surrogate"), ("seed 1", "surrogate")]


def test_a_list_of_values_on_the_command_line_is_swept_in_place_of_the_experiments():
    sweep = {"training.seed": [0, 1, 2], "forget": [["0012-3"], ["0004-3"], ["0007-0"]]}
    sets = {"forget": [["0004-3"], ["0021-3"]], "training.seed": [1, 5]}
    p = resolve(sets, forget=[], sweep=sweep, cells=[{"name": "Ours", "method": "surrogate"}])
    assert [(c.training.seed, c.forget) for c in p.cells] == [
        (1, ("0004-3",)),
        (5, ("0004-3",)),
        (1, ("0021-3",)),
        (5, ("0021-3",)),
    ]
    assert p.targets() == p.experiment.forget == ("0004-3", "0021-3")
    betas = resolve({"training.betas": [0.5, 0.9]}, sweep={"training.betas": [[0.1, 0.2], [0.3, 0.4]]})
    assert {c.training.betas for c in betas.cells} == {(0.5, 0.9)}  # one value of a setting that is a list


def test_what_an_experiment_says_of_the_chosen_world_lies_on_top(tmp_path):
    from PIL import Image

    for name in ("1.png", "2.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    entries = {
        "miniature": {"forget": ["0004-3"], "base": {"editor": {"sigma": 10}}, "sampling": {"images": 9}},
        "paper": {
            "forget": ["1.png"],
            "real": str(tmp_path),
            "networks": {"sscd_sha256": "a" * 64},
            "sweep": {"training.lr": [0.1]},
        },
    }
    change = {
        "forget": [],
        "base": {"editor": "noise", "training": {"batch": 4}},
        "cells": [{"method": "surrogate"}],
        "worlds": entries,
    }
    here, there = resolve(**change), plan.resolve(reading.write({**BASE, **change}), "paper")
    assert (
        here.cells[0].editor.settings == {"sigma": 10}
        and here.experiment.sampling.images == 9
        and here.targets() == ("0004-3",)
    )
    assert (
        there.cells[0].editor.settings == {}
        and there.cells[0].training.lr == 0.1
        and there.targets() == ("1.png",)
    )
    assert (
        here.cells[0].training.batch == there.cells[0].training.batch == 4
        and there.experiment.sampling.images == 10_000
    )

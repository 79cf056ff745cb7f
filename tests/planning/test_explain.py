"""Which layer said a value: the layer that is named holds that very value, and none above it says another."""

from pathlib import Path
from unittest.mock import patch

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from pipelines.__main__ import main
from unpromptable.planning import plan
from unpromptable.planning.explain import comment, explain
from unpromptable.planning.settings import Training

EXPERIMENTS = Path(plan.__file__).parents[3] / "pipelines" / "experiments"
BLOCKS = ("model", "sampling", "injection", "remember", "training", "method", "editor", "real", "metrics")
LAYERS = (  # of a cell, from the lowest to the highest
    "world miniature: cell",
    "world miniature: reals.miniature.cell",
    "world miniature: methods.siss",
    "experiment.base",
    "experiment.worlds.miniature.base",
    "experiment.cells 1",
    "experiment.sweep",
    "--set",
)
of_training = some.fixed_dictionaries(
    {}, optional={"steps": some.integers(1, 99), "lr": some.floats(1e-6, 1), "batch": some.integers(1, 9)}
)
often = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def planned(said: dict[str, dict]) -> dict:
    """A world, an experiment and overrides in which each layer says what it is given here, as keywords of
    `asked`.
    """
    at = lambda layer: said.get(layer, {})
    world = {
        "real": "miniature",
        "model": {"name": "ddpm", "source": "miniature"},
        "cell": {"method": "siss", "editor": "flip", **at(LAYERS[0])},
        "methods": {"siss": at(LAYERS[2])},
        "reals": {"miniature": {"cell": at(LAYERS[1])}},
    }
    flat = lambda cell: {f"{b}.{k}": v for b, inner in cell.items() for k, v in inner.items()}
    experiment = {
        "name": "t",
        "forget": ["0004-3"],
        "base": at(LAYERS[3]),
        "cells": [at(LAYERS[5])],
        "sweep": {k: [v] for k, v in flat(at(LAYERS[6])).items()},
        "worlds": {"miniature": {"base": at(LAYERS[4])}},
    }
    return {"world": world, "text": yaml.safe_dump(experiment), "sets": flat(at(LAYERS[7]))}


def asked(key: str, world: dict, text: str, sets: dict) -> tuple:
    """What is explained of one setting, and the cell as it is resolved."""
    with patch.object(plan, "read_world", lambda name: {"world": name, **world}):
        (said,) = explain(text, "", sets, key)
        return said, plan.resolve(text, "", sets, inputs=False).cells[0]


@often
@given(some.dictionaries(some.sampled_from(LAYERS), of_training), some.sampled_from(["steps", "lr", "batch"]))
def test_the_highest_layer_that_says_a_setting_is_named_with_its_value(said, key):
    found, cell = asked(f"training.{key}", **planned({at: {"training": t} for at, t in said.items()}))
    saying = [at for at in LAYERS if key in said.get(at, {})]
    layer = saying[-1] if saying else "default of planning.settings.Training"
    value = said[layer][key] if saying else getattr(Training(), key)
    assert (found.layer, found.value) == (layer, value) and getattr(cell.training, key) == value


editors = some.fixed_dictionaries(
    {}, optional={"name": some.sampled_from(["noise", "sdedit"]), "seed": some.integers(0, 99)}
)
NAMING = [at for at in LAYERS if at not in ("world miniature: methods.siss", "experiment.sweep")]


def over(below: dict, above: dict) -> dict:
    """What two layers say of an editor: another name drops what is below it."""
    other = above.get("name", below.get("name")) != below.get("name")
    return above if other else {**below, **above}


@often
@given(some.fixed_dictionaries(dict.fromkeys(NAMING, editors)))
def test_a_choice_of_another_name_drops_the_settings_below_it(said):
    said[NAMING[0]] = {"name": "noise", **said[NAMING[0]]}
    marked = [{k: (v, at) if k == "seed" else v for k, v in said.get(at, {}).items()} for at in NAMING]
    world, real, base, of_the_world, own, on_top = marked
    expected = over(over(over(over(world, real), over(base, of_the_world)), own), on_top)
    found, cell = asked("editor.seed", **planned({at: {"editor": e} for at, e in said.items()}))
    default = (0, f"default of editing.editors.{expected['name']}.Editor")
    assert (found.value, found.layer) == expected.get("seed", default)
    assert (cell.editor.name, cell.editor.made.seed) == (expected["name"], found.value)


def held(layer: str, key: str, experiment: dict, world: dict):
    """What a layer's own text says of a setting, found by the layer's name alone."""
    head, _, inside = layer.partition(": ") if layer.startswith("world") else ("", "", layer)
    path, key = inside.replace("cells ", "cells.").split(".") if inside else [], key.split(".")
    if "editors" in path:
        key = key[1:]
    here = world if head else {"experiment": experiment}
    for part in [*path, *key]:
        here = {"name": here} if isinstance(here, str) else here
        here = here[int(part) - 1] if isinstance(here, list) else here.get(part)
    return here["name"] if isinstance(here, dict) else here


@pytest.mark.parametrize("world", ["miniature", "paper"])
@pytest.mark.parametrize("name", sorted(p.stem for p in EXPERIMENTS.glob("*.yaml")))
def test_the_named_layers_text_holds_the_value(name, world):
    texts = plan.read_yaml(name), plan.read_world(world)
    resolved = plan.resolve(name, world, inputs=False)
    seen = 0
    for said in (s for block in BLOCKS for s in explain(name, world, {}, block)):
        if said.layer.startswith(("default", "experiment.sweep")):
            continue
        text = held(said.layer, said.key, *texts)
        assert said.value == (tuple(text) if isinstance(text, list) else text), said
        seen += 1
    assert seen > 10 and len(resolved.cells) >= 1


@pytest.mark.parametrize(
    "key, value, layer, cells",
    [
        ("training.lr", 1e-4, "world miniature: cell", ()),
        ("training.steps", 10, "world miniature: methods.neggrad", ("NegGrad",)),
        ("training.batch", 4, "--set", ()),
        ("training.weight_decay", 1e-6, "default of planning.settings.Training", ()),
        ("method.beta", 1e-4, "world miniature: cell", ("Ours†", "Ours")),
        ("method.eta", 1e-2, "world miniature: methods.erasediff", ("EraseDiff",)),
        ("method.projection", "forget", "default of unlearning.methods.surrogate.Method", ("Ours†", "Ours")),
        ("sampling.images", 9, "--set", ()),
        ("sampling.steps", 25, "world miniature", ()),
        ("model.source", "miniature", "world miniature: reals.miniature", ()),
        ("forget", ("0004-3",), "experiment", ()),
        ("world", "miniature", "the world where none is named", ()),
    ],
)
def test_a_setting_is_said_once_for_the_cells_that_agree(key, value, layer, cells):
    said = explain("demo", "", {"sampling.images": 9, "training.batch": 4}, key)[0]
    assert (said.key, said.value, said.layer, said.cells) == (key, value, layer, cells)


def test_who_chose_the_world_is_said():
    at = lambda world, sets: explain("demo", world, sets, "world")[0].layer
    assert (at("paper", {}), at("", {"world": "paper"})) == ("--world", "--set")
    (said,) = explain("name: t\nworld: paper\nforget: [a.png]\n", "", {}, "world")
    assert (said.value, said.layer) == ("paper", "experiment")


def test_targets_that_only_a_sweep_names_are_said_by_it():
    text = "name: t\ncells: [{editor: flip}]\nsweep: {forget: [[0004-3], [0012-3]]}\n"
    said = [(s.value, s.layer, s.cells) for s in explain(text, "", {}, "forget")]
    assert said == [
        (("0004-3",), "experiment.sweep", ("surrogate, 0004-3",)),
        (("0012-3",), "experiment.sweep", ("surrogate, 0012-3",)),
    ]


def test_targets_that_the_command_line_gives_a_sweep_are_said_by_it():
    text = "name: t\ncells: [{editor: flip}]\nsweep: {forget: [[0004-3], [0012-3]]}\n"
    said = [(s.value, s.layer) for s in explain(text, "", {"forget": [["0007-0"], ["0012-3"]]}, "forget")]
    assert said == [(("0007-0",), "--set"), (("0012-3",), "--set")]


@pytest.mark.parametrize(
    "key, words",
    [
        ("traning.lr", r"no setting 'traning.lr' \(did you mean training.lr\?\); choose from name, world"),
        ("training.lrr", r"\(did you mean training.lr\?\); choose from training.steps, training.lr"),
        ("method.gamma", "no setting 'method.gamma'.*; choose from method.name, method.mode"),
        ("", "no setting ''"),
    ],
)
def test_a_wrong_key_is_refused_with_the_nearest_one(key, words):
    with pytest.raises(ValueError, match=f"--explain: .*{words}" if key[:1] != "t" else words):
        explain("demo", "", {}, key)


def test_the_comment_of_a_setting_is_what_stands_above_and_beside_it():
    assert comment(Training, "lr") == "(V)"
    assert comment(Training, "reduction") == "over pixels; with sum the clip is always active, as in SISS"
    assert comment(Training, "seed") == "" == comment(Training, "no_such")


def test_the_command_prints_each_setting_with_who_said_it(capsys):
    assert main(["plan", "demo", "--explain", "training.steps", "--set", "training.lr=0.1"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    about = "updates per forget image (V, experiment setup)"
    assert f"training.steps 10 world miniature: methods.neggrad NegGrad {about}" in lines
    assert f"training.steps 160 world miniature: cell Naive, ReTrack, Ours†, Ours {about}" in lines
    assert main(["plan", "demo", "--explain", "training.stepz"]) == 2
    assert "did you mean training.steps?" in capsys.readouterr().err

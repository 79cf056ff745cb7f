"""What a world says, of whose pictures it holds, and what lies on top of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from planned_settings import BASE, refused, resolve

from pipelines.cli.options import override
from unpromptable.planning import plan
from unpromptable.planning.experiment import to_json


@pytest.fixture
def folder(tmp_path):
    """A folder of someone's own pictures, named as a telephone names them."""
    from PIL import Image

    for k in range(9):
        Image.new("RGB", (8, 8), (k, 9, 9)).save(tmp_path / f"IMG-20240501-WA000{k}.png")
    return str(tmp_path)


def test_what_was_made_for_the_pictures_that_ship_holds_for_no_folder_of_yours(folder):
    own, theirs = (
        resolve().experiment,
        resolve({"real": folder, "model.source": "me/my-model"}, forget=["IMG-20240501-WA0003.png"]),
    )
    assert own.remember.leave_out == ("{group}-*",) and own.networks.name == own.model.source == "miniature"
    assert theirs.experiment.remember.leave_out == () and theirs.experiment.networks.name == "paper"
    assert {c.editor.settings["folder"] for c in theirs.cells} == {"painted"}
    assert (
        theirs.experiment.sampling == own.sampling and theirs.cells[0].training == resolve().cells[0].training
    )


def test_forgetting_one_picture_of_a_folder_drops_no_other(folder):
    from unpromptable.preparing import collect

    resolved = resolve(
        {"real": folder, "model.source": "me/my-model", "editor": "flip", "networks.sscd_sha256": "a" * 64},
        forget=["IMG-20240501-WA0003.png"],
        inputs=True,
    )
    _, manifest = collect.collect(folder, 8, list(resolved.targets()), resolved.experiment.remember.leave_out)
    assert manifest["removed"] == ["IMG-20240501-WA0003.png"]


def test_the_model_of_a_folder_has_to_be_named(folder):
    assert f"model.source: name the model that was trained on {folder}" in refused({"real": folder})
    # said, so meant
    assert resolve({"real": folder, "model.source": "miniature"}).experiment.model.source == "miniature"
    assert "model.source" in refused(
        {"real": folder}, model={"name": "sd3"}, prompt="a flag", forget=["x.png"]
    )


def test_a_generator_of_drawn_portraits_edits_no_photographs(folder):
    tedigan = [{"method": "surrogate", "editor": "tedigan"}]
    assert resolve(cells=tedigan).cells[0].editor.settings["folder"] == "miniature"
    # the published networks
    assert resolve({"real": folder, "model.source": "m"}, cells=tedigan).cells[0].editor.settings == {}


def test_a_world_set_as_a_setting_is_that_world_whole(folder):
    sides = [
        plan.resolve("demo", world, sets, inputs=False)
        for world, sets in (("paper", {}), ("", {"world": "paper"}), ("paper", {"world": "paper"}))
    ]
    assert (
        len({json.dumps(to_json(p.experiment)) for p in sides}) == 1
        and sides[0].cells == sides[1].cells == sides[2].cells
    )
    assert sides[1].experiment.sampling.images == 10_000
    assert "leave one of the two out" in refused({"world": "paper"}, "miniature")


def test_the_baselines_that_the_paper_ran_in_siss_code_sum_their_losses_as_it_does():
    cells = {c.method.name: c.training for c in plan.resolve("demo", "paper", inputs=False).cells}
    assert {m: (t.reduction, t.t_min) for m, t in cells.items()} == {
        "neggrad": ("sum", 0),
        "erasediff": ("sum", 0),
        "naive": ("sum", 999),
        "retrack": ("sum", 0),
        "siss": ("sum", 999),
        "surrogate": ("mean", 0),
    }


def test_a_mapping_given_to_set_merges_as_it_does_in_yaml():
    in_yaml = resolve(
        base={"training": {"steps": 3}, "editor": {"name": "sdedit", "draws": 2}}, sampling={"images": 9}
    )
    on_top = resolve(
        dict(
            map(override, ("training={steps: 3}", "editor={name: sdedit, draws: 2}", "sampling={images: 9}"))
        )
    )
    assert in_yaml.cells == on_top.cells and in_yaml.experiment == on_top.experiment
    assert on_top.cells[0].training.lr == 1e-4 and on_top.cells[0].training.cooldown == 0.5
    assert (
        resolve({"method": {"name": "siss", "settings": {"mixture": 0.3}}}).cells
        == resolve({"method.name": "siss", "method.mixture": 0.3}).cells
    )


def test_a_method_chosen_by_set_or_sweep_brings_the_worlds_settings_of_it():
    written = resolve(cells=[{"name": "Ours", "method": "siss"}]).cells
    assert (
        resolve({"method": "siss"}, cells=BASE["cells"][:1]).cells
        == resolve({"method.name": "siss"}, cells=BASE["cells"][:1]).cells
        == written
    )
    swept = resolve(cells=[{}], sweep={"method": ["siss", "neggrad"]}).cells
    assert [(c.name, c.training.steps) for c in swept] == [
        ("method siss", 60),
        ("method neggrad", 10),
    ] and swept[0].method == written[0].method


def test_a_block_with_nothing_under_it_says_nothing():
    assert resolve(base={"training": None}, sampling=None).cells == resolve().cells


def test_one_target_needs_no_list():
    assert (
        resolve(dict([override("forget=me.png")])).targets()
        == resolve(forget="me.png").targets()
        == ("me.png",)
    )
    assert resolve(remember={"leave_out": "0099-*"}).experiment.remember.leave_out == ("0099-*",)


def test_cells_that_name_their_own_targets_need_no_others():
    assert resolve(
        forget=None, cells=[{"forget": "0012-3"}, {"name": "b", "forget": ["0013-1"]}]
    ).experiment.forget == ("0012-3", "0013-1")


SHIPPED = sorted(p.stem for p in (Path(__file__).parents[2] / "pipelines" / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("world", ["miniature", "paper"])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_baseline_that_ships_says_where_its_settings_come_from(name, world):
    for cell in plan.resolve(name, world, inputs=False).cells:
        assert cell.origin or cell.method.name == "surrogate", cell.name
        assert cell.origin != "as its code does" or world == "paper" or cell.name == "DUO, its code"


def test_what_changes_a_methods_settings_takes_their_origin_unless_it_says_one():
    of = lambda sets=(), **given: [c.origin for c in resolve(dict(sets), **given).cells]
    one = [{"name": "SISS", "method": "siss"}]
    assert of(cells=one) == ["tuned on our stage"] == of({"sampling.steps": 3}, cells=one)
    assert of({"training.lr": 1e-6}, cells=one) == [""] == of({"method.mixture": 0.3}, cells=one)
    assert of(cells=[{"method": {"name": "siss", "mixture": 0.3}}]) == [""]
    assert of(cells=one, base={"training": {"steps": 3}}) == [""] == of(cells=one, sweep={"training.lr": [1]})
    assert of({"training.seed": 3}, cells=one) == ["tuned on our stage"]  # a draw, and nothing tuned
    code = "as its code does"
    assert of(cells=[{"origin": code, "method": "siss", "training": {"steps": 3}}]) == [code]
    assert "cells 1.origin" in refused(cells=[{"origin": 3, "method": "siss"}])
    assert "as its code does" in refused(cells=[{"origin": "mine", "method": "siss"}])


def test_duos_row_of_its_code_draws_the_steps_and_the_rate_of_its_trainer():
    (cell,) = [c for c in plan.resolve("figure8", inputs=False).cells if c.name == "DUO, its code"]
    made, t = cell.method.made, cell.training
    assert (made.beta, made.integrity) == (500, 1e6 * 500 / 100) and t.lr == pytest.approx(3e-5 * 100 / 500)
    # its indices 1..749 into the descending table of 1000: of u from 1/1000 to below 750/1000
    assert (t.t_min, t.t_max) == (999 - 749, 999 - 1) and (t.steps, t.batch) == (1000, 4)
    assert (t.betas, t.weight_decay, t.max_grad_norm) == ((0.9, 0.999), 1e-2, 1.0)


def test_figure8_has_the_same_rows_in_both_worlds_but_for_the_shift_of_duos_timesteps():
    """The published table is shifted by 3: its descending indices 1..749 are sigma 0.9997..0.5013."""
    here, there = (plan.resolve("figure8", w, inputs=False).cells for w in ("miniature", "paper"))
    assert [c.name for c in here] == [c.name for c in there]
    ours, theirs = (next(c for c in x if c.name == "DUO, its code") for x in (here, there))
    same = replace(theirs.training, t_min=250, t_max=998, micro_batch=0)
    assert same == ours.training and theirs.method == ours.method
    assert (theirs.training.t_min, theirs.training.t_max, theirs.origin) == (501, 998, "as its code does")

"""Any setting: a plan, or one line that says where, what was found and what to do."""

import json

import pytest

from pipelines.__main__ import main
from pipelines.cli.options import override
from unpromptable.planning import plan, reading
from unpromptable.planning.experiment import METRICS, to_json

BASE = {
    "name": "t",
    "forget": ["0012-3"],
    "cells": [{"name": "Ours", "method": "surrogate"}, {"name": "NegGrad", "method": "neggrad"}],
}


def resolve(overrides=None, world="", inputs=False, **change):
    return plan.resolve(reading.write({**BASE, **change}), world, overrides or {}, inputs)


def refused(overrides=None, world="", **change):
    """The one line that refuses."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        resolve(overrides, world, **change)
    assert type(caught.value) in (ValueError, FileNotFoundError) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path):
    """A folder of someone's own pictures, named as a telephone names them."""
    from PIL import Image

    for k in range(9):
        Image.new("RGB", (8, 8), (k, 9, 9)).save(tmp_path / f"IMG-20240501-WA000{k}.png")
    return str(tmp_path)


# what belongs to a world's own pictures


def test_what_was_made_for_the_pictures_that_ship_holds_for_no_folder_of_yours(folder):
    own, theirs = (
        resolve().experiment,
        resolve({"real": folder, "model.source": "my-model"}, forget=["IMG-20240501-WA0003.png"]),
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
        {"real": folder, "model.source": "my-model", "editor": "flip"},
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


# one world


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


# merged as YAML merges


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


# YAML


def test_a_key_given_twice_is_refused_with_both_lines():
    text = "name: t\nforget: [0012-3]\nbase:\n  training:\n    steps: 3\n    lr: 1e-4\n    steps: 4\n"
    with pytest.raises(
        ValueError, match=r"^experiment: the key 'steps' is given twice, in lines 5 and 7; keep one"
    ):
        plan.resolve(text)
    with pytest.raises(ValueError, match="--set training: the key 'lr' is given twice"):
        override("training={lr: 1, lr: 2}")


@pytest.mark.parametrize(
    "text, words",
    [
        ("name: t\na: &a [*a]\n", "line 2 holds itself"),
        ("a: &a {b: *a}\n", "holds itself"),
        (
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 12)),
            "stands for .* at most 50,000",
        ),
        ("a0: &a0 [x]\n" + "".join(f"a{k}: &a{k} [*a{k - 1}]\n" for k in range(1, 300)), "on 41 levels"),
        ("a: " + "[" * 10_000 + "\n", "more than 40 levels"),
        ("a: !!python/object:os.system {}\n", "tag"),
        ("a: !!int x\n", "tag|not valid YAML"),
        ("a: !!binary eA==\n", "tag"),
        ("a: !!set {x}\n", "tag"),
        ("1: x\n", "key in line 1 is '1'; keys are words"),
        ("? [a]\n: x\n", "keys are words"),
        ("a: b\n---\na: c\n", "another document"),
        ("a: 'x\n", "not valid YAML"),
        ("a: \0\n", "not valid YAML"),
        ("a: " + "9" * 5000 + "\n", "not valid YAML"),
    ],
)
def test_what_is_no_plain_yaml_is_one_line(text, words):
    with pytest.raises(ValueError, match=words) as caught:
        plan.resolve(text)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("experiment: ")


def test_a_file_that_is_no_text_is_one_line_that_names_it(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="a.yaml: not UTF-8 text"):
        plan.resolve(str(tmp_path / "a.yaml"))
    # not the demo that ships
    with pytest.raises(FileNotFoundError, match="nowhere/demo.yaml is neither a file"):
        plan.resolve("nowhere/demo.yaml")


def test_words_and_numbers_are_read_as_they_look():
    assert reading.value("[no, 2024-05-01, 0012, 12:30, 1e-5, 1.0e-4, 7, -3, true, ~, .inf]", "x") == [
        "no",
        "2024-05-01",
        "0012",
        "12:30",
        1e-5,
        1e-4,
        7,
        -3,
        True,
        None,
        float("inf"),
    ]
    assert (
        resolve({"training.precision": override("training.precision=no")[1]}).cells[0].training.precision
        == "no"
    )


@pytest.mark.parametrize(
    "value",
    [
        "1e5",
        "no",
        "true",
        "0012",
        "12",
        "1.5",
        "",
        "~",
        "a: b",
        "方法",
        "x # y",
        "- x",
        "<<",
        "=",
        "2024-05-01",
        ".5",
        "+1",
    ],
)
def test_what_is_written_is_read_again_as_it_was(value):
    assert reading.value(reading.write({"a": [value], "b": 1e-5}), "x") == {"a": [value], "b": 1e-5}


# typed and bounded when the plan is made


@pytest.mark.parametrize(
    "overrides, words",
    [
        ({"training.steps": True}, "training.steps is True; it must be a number"),
        ({"training.lr": float("inf")}, "training.lr is inf"),
        ({"training.lr": "inf"}, "training.lr"),
        ({"training.lr": float("nan")}, "training.lr is nan"),
        ({"training.max_grad_norm": float("nan")}, "training.max_grad_norm is nan; it must be finite"),
        ({"training.weight_decay": float("nan")}, "training.weight_decay is nan"),
        ({"training.weight_decay": -1}, "training.weight_decay is -1; it must be at least 0"),
        ({"training.eps": float("nan")}, "training.eps is nan"),
        ({"training.eps": 0}, "training.eps is 0"),
        ({"training.betas": [1.5, 0.9]}, r"training.betas\[0\] is 1.5; it must be below 1"),
        ({"training.betas": [0.9, -1]}, r"training.betas\[1\] is -1; it must be at least 0"),
        ({"training.seed": -1}, "training.seed is -1; seeds lie in 0.."),
        ({"training.batch": 10**400}, "training.batch is 1000.*at most 2.53"),
        ({"injection.t": 5000}, "injection.t is 5000; it may be at most 999"),
        ({"injection.t": 250.5}, "injection.t is 250.5; it must be a whole number"),
        ({"sampling.images": False}, "sampling.images is False; it must be a number"),
        ({"sampling.shards": 10**9, "sampling.images": 10**7}, "sampling.shards"),
        ({"sampling.first_seed": 2**32}, "sampling.first_seed"),
        ({"remember.screen": float("inf")}, "remember.screen is inf"),
        ({"quality.copy": 1.5}, "quality.copy is 1.5; it may be at most 1"),
        ({"forget": []}, "no forget image"),
        ({"forget": ["0012-3", "0012-3"]}, "0012-3 is named 2 times"),
        ({"forget": ["me.png", "./me.png"]}, "is named 2 times"),
        ({"forget": [12]}, "--set forget: got 12; give the names of pictures, in quotes"),
        ({"forget": ""}, "--set forget is empty"),
        ({"forget": "x" * 300}, "longer than a path can be"),
        ({"training": 5}, "--set training: got 5; give a mapping"),
        ({"training": 5, "training.lr": 1}, "--set 'training.lr'"),
        ({"method": 5}, "--set method: got 5; give a name or a mapping"),
        ({"method": {"name": 2}}, "--set method.name: got 2"),
        ({"method.name": [1]}, "--set method.name: got"),
        ({"model.source": ""}, "model.source is empty"),
        ({"model": {"name": {"a": 1}}}, "--set model.name: got"),
        ({"real": ""}, "real is empty"),
        ({"real": 5}, "real: got 5"),
        ({"real": "x\ny"}, "give it in one line"),
        ({"worlds.miniature.forget": ["a"]}, "worlds is no setting of its own"),
        ({"base": {}}, "base is no setting of its own"),
        ({"size": 64}, "experiment: no setting 'size'; .*the model's own size"),
        ({"world": [1]}, r"world: no \[1\]"),
        ({"sampling": "fast"}, "--set sampling: got 'fast'; give a mapping"),
        ({"editor.seed": -1, "editor.name": "noise"}, "noise.seed is -1"),
    ],
)
def test_an_override_of_the_wrong_kind_is_refused_when_the_plan_is_made(overrides, words):
    import re

    assert re.search(words, refused(overrides))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"cells": [{"name": 2}]}, "experiment.cells 1.name: got 2; give a word, in quotes"),
        ({"cells": [{"name": "a\nb"}]}, "one line"),
        ({"cells": [{"forget": []}]}, "experiment.cells 1.forget: no forget image"),
        ({"cells": 5}, "experiment.cells: got 5"),
        ({"cells": ["surrogate"]}, "each cell is a mapping"),
        (
            {"cells": [{"colour": 1}]},
            "experiment.cells 1: no setting 'colour'; choose from name, group, method",
        ),
        ({"cells": [{"method": {"name": "siss", "settings": 5}}]}, "settings: got 5"),
        ({"base": 5}, "experiment.base: got 5"),
        ({"base": {"name": "x"}}, "experiment.base: no setting 'name'"),
        ({"sweep": 5}, "experiment.sweep: got 5"),
        (
            {"sweep": {"training.lr": [0.1] * 40, "training.seed": list(range(40))}},
            "1,600 points; at most 1000",
        ),
        ({"sweep": {"forget": [[1]]}}, "experiment.sweep.forget: got 1"),
        ({"worlds": 5}, "experiment.worlds: got 5"),
        ({"quality": [1]}, r"experiment.quality: got \[1\]; give a mapping"),
        ({"name": 5}, "experiment.name is 5; it must be a word"),
        ({"name": "a/b"}, "experiment.name is 'a/b'"),
        ({"model": [1]}, r"experiment.model: got \[1\]; give a name or a mapping"),
        ({"metrics": 5}, "experiment.metrics: got 5; give a list"),
        ({"metrics": "sscd"}, "experiment.metrics: got 'sscd'; give a list"),
        ({"metrics": [*METRICS, "sscd"]}, "sscd is listed 2 times"),
        ({"metrics": [*METRICS, {"name": 5}]}, "metrics: got"),
        ({"forget": [{}]}, "experiment.forget: got {}"),
        ({"methods": {}}, "experiment: no setting 'methods'"),
        (
            {"training": {"steps": 3}},
            "experiment: no setting 'training'; it belongs to cells: say it in `base`",
        ),
        ({"paper": [{"sscd": 1}]}, "experiment.paper: got"),
        ({"paper": [{"name": "Ours", "sscd": "low"}]}, "experiment.paper: got"),
        ({"model": {"name": "sd3", "pixels": -64}, "prompt": "x", "forget": ["japan-0005"]}, "pixels"),
        (
            {"model": {"name": "sd3", "guidance": float("nan")}, "prompt": "x", "forget": ["japan-0005"]},
            "model.guidance is nan; it must be finite",
        ),
        (
            {"model": {"name": "sd3", "alpha": float("inf")}, "prompt": "x", "forget": ["japan-0005"]},
            "model.alpha is inf",
        ),
        (
            {"model": "sd3", "prompt": "x", "forget": ["japan-0005"], "remember": {"first_seed": 300}},
            "would be among those judged",
        ),
    ],
)
def test_an_experiment_of_the_wrong_kind_is_refused_when_the_plan_is_made(change, words):
    import re

    assert re.search(words, refused(**change))


# names of cells


def test_every_name_has_a_folder_of_its_own_that_can_be_read():
    slug = lambda name: resolve(cells=[{"name": name}]).cells[0].slug
    assert [slug(n) for n in ("Ours†", "beta +1", "beta -1", "β = 2e-5", "Émile", "0004-3+0007-0")] == [
        "ours-dagger",
        "beta-plus-1",
        "beta-minus-1",
        "beta-2e-5",
        "emile",
        "0004-3-0007-0",
    ]
    assert (
        slug("方法一").startswith("cell-")
        and slug("方法一") != slug("方法二")
        and slug("SISS 方法一").startswith("siss-")
    )
    assert len(slug("x" * 500)) < 70 and slug("x" * 500) != slug("x" * 501)


def test_cells_are_told_apart_by_their_names_alone():
    names = ["方法一", "方法二", "beta +1", "beta -1", "a+b", "a-b", "a b"]
    folders = [s.folder for s in resolve(cells=[{"name": n} for n in names]).run().cells]
    assert len(set(folders)) == len({f.rpartition("-")[0] for f in folders}) == len(names)
    assert all(f.removeprefix("cells/").replace("-", "").isalnum() and f.isascii() for f in folders)
    assert "2 cells are named 'a'" in refused(cells=[{"name": "A"}, {"name": "a "}])
    assert "2 cells are named 'lr 0.1'" in refused(cells=[{}], sweep={"training.lr": [0.1, 0.1]})


# the paper's world


def test_the_baselines_that_the_paper_ran_in_siss_code_sum_their_losses_as_it_does():
    cells = {c.method.name: c.training for c in plan.resolve("demo", "paper", inputs=False).cells}
    assert {m: (t.reduction, t.t_min) for m, t in cells.items()} == {
        "neggrad": ("sum", 0),
        "erasediff": ("sum", 0),
        "naive": ("sum", 0),
        "siss": ("sum", 999),
        "surrogate": ("mean", 0),
    }


def test_the_command_line_refuses_in_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twice.yaml").write_text("name: a\nname: b\n")
    for words in (
        ["local", "twice.yaml"],
        ["plan", "demo", "--set", "training.steps=true"],
        ["plan", "demo", "--set", "forget=[]"],
        ["plan", "demo", "--set", "a=&a [*a]"],
        ["plan", "demo", "--set", "size=64"],
    ):
        code, error = main(words), capsys.readouterr().err
        assert code == 2 and error.startswith("error: ") and error.count("\n") == 1, words
    assert not (tmp_path / "runs").exists()

"""Any setting: a plan, or one line that says where, what was found and what to do."""

import pytest
from planned_settings import refused, resolve

from pipelines.__main__ import main
from unpromptable.planning.experiment import METRICS


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
        ({"report.pictures": "hide"}, "report.pictures: no 'hide'; choose from show, blur, omit"),
        ({"report.tracked": 2}, "report.tracked is 2; give true or false"),
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
            "experiment.cells 1: no setting 'colour'; choose from name, group, origin, unlearned",
        ),
        ({"cells": [{"method": {"name": "siss", "settings": 5}}]}, "settings: got 5"),
        ({"base": 5}, "experiment.base: got 5"),
        ({"base": {"name": "x"}}, "experiment.base: no setting 'name'"),
        ({"sweep": 5}, "experiment.sweep: got 5"),
        (
            {"sweep": {"training.lr": [0.1] * 110, "training.seed": list(range(110))}},
            "12,100 points; at most 10000",
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

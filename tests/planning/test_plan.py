"""Worlds, experiments and overrides resolve to cells; what is wrong is said before any work."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from unpromptable.planning import plan
from unpromptable.planning.experiment import to_json
from unpromptable.planning.settings import Choice

BASE = {
    "name": "t",
    "world": "miniature",
    "forget": ["0012-3"],
    "cells": [{"name": "Ours", "method": "surrogate"}, {"name": "NegGrad", "method": "neggrad"}],
}


def resolve(overrides=None, **change):
    return plan.resolve(yaml.safe_dump({**BASE, **change}), "", overrides or {})


def test_the_key_follows_what_matters_and_ignores_the_title():
    one = resolve()
    keys = lambda p: [s.keys["unlearned"] for s in p.run().cells]
    assert keys(one) == keys(resolve(title="other"))
    assert one.key != resolve(sampling={"images": 7}).key
    other = resolve({"method.beta": 3e-4})
    assert keys(one)[0] != keys(other)[0] and keys(one)[1] == keys(other)[1]


def test_a_run_survives_the_trip_through_text():
    from unpromptable.planning.spec import Run, Spec

    run = resolve().run(images_per_shard=7)
    assert Run.from_text(run.to_text()) == run and run.cells[0].cell == resolve().cells[0]
    assert all(Spec.from_text(spec.to_text()) == spec for spec in (run.shared, *run.cells))
    one = Run.from_text(run.to_text(), Path(run.cells[1].folder).name)
    assert one.cells == run.cells[1:2] and one.shards == run.shards


def test_the_paper_world_keeps_the_papers_hyperparameters(tmp_path):
    from PIL import Image

    for name in ("1.png", "2.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    p = plan.resolve(
        yaml.safe_dump({**BASE, "forget": ["1.png"], "real": str(tmp_path), "base": {"editor": "flip"}}),
        "paper",
        {"networks.sscd_sha256": "a" * 64},
    )
    assert (p.cells[0].training.lr, p.cells[0].training.steps, p.cells[0].training.batch) == (5e-6, 240, 8)
    assert (p.experiment.sampling.images, p.experiment.networks.name, p.experiment.model.source) == (
        10_000,
        "paper",
        "google/ddpm-celebahq-256",
    )


@pytest.mark.parametrize(
    "change, overrides, words",
    [
        ({"colour": 1}, {}, "experiment: no setting 'colour'; choose from name, world, real, forget"),
        (
            {"traning": {}},
            {},
            r"experiment: no setting 'traning' \(did you mean training\?\); choose from name, world",
        ),
        ({"sweeep": {}}, {}, r"experiment: no setting 'sweeep' \(did you mean sweep\?\)"),
        ({"world": "mars"}, {}, "world: no 'mars'; choose from miniature, paper"),
        ({"cells": [{"method": "sis"}]}, {}, "methods: no 'sis'; choose from .*did you mean siss"),
        ({"cells": [{"editor": "paynt"}]}, {}, "editors: no 'paynt'; .*did you mean paint"),
        ({"cells": [{"method": "surrogate", "steps": 3}]}, {}, "no setting 'steps'"),
        ({}, {"training.step": 3}, r"training: no setting 'step' \(did you mean steps\?\); choose from"),
        ({}, {"method.gamma": 3}, "no method of this experiment has a setting 'gamma'"),
        ({}, {"method.beta": 0.01}, "surrogate.beta is 0.01"),
        ({}, {"training.steps": 0}, "training.steps is 0"),
        ({}, {"training.steps": -5}, "training.steps is -5"),
        ({}, {"sampling.images": 0}, "sampling.images is 0"),
        ({}, {"networks.name": "big"}, "networks.name: no 'big'"),
        ({"model": {"name": "gan"}}, {}, "models: no 'gan'; choose from .*ddpm"),
        ({"forget": []}, {}, "experiment.forget: no forget image"),
        ({"cells": [{"name": "A"}, {"name": "a"}]}, {}, "2 cells are named 'a'"),
        ({"sweep": {"sampling.steps": [1]}}, {}, "experiment.sweep.sampling.steps"),
        ({"sweep": {"forget": ["0012-3"]}}, {}, "experiment.sweep.forget: .*give a list of lists"),
        (
            {"worlds": {"mars": {}}},
            {},
            "experiment.worlds.mars: got .*give one of miniature, paper a mapping",
        ),
        ({"worlds": {"miniature": {"full": 3}}}, {}, "experiment.worlds.miniature.full: got 3"),
        ({}, {"full": True}, "--set full: experiment.worlds.miniature has no 'full'; leave it out"),
        ({}, {"full": 3}, "--set full: got 3; give true"),
        ({"worlds": {"paper": {"name": "other"}}}, {}, "experiment.worlds.paper: .*neither name nor world"),
        ({"worlds": {"miniature": {"colour": 1}}}, {}, "experiment: no setting 'colour'"),
        ({"quality": {"copy": 0}}, {}, "quality.copy is 0"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_is_allowed(change, overrides, words):
    with pytest.raises(ValueError, match=words):
        resolve(overrides, **change)


@pytest.mark.parametrize(
    "text, error, words",
    [
        ("nowhere.yaml", FileNotFoundError, "choose from .*demo"),
        ("a: [", ValueError, "not valid YAML"),
        ("- 1\n- 2", ValueError, "expected a mapping"),
    ],
)
def test_a_text_that_is_no_experiment_is_refused(text, error, words):
    with pytest.raises(error, match=words):
        plan.resolve(text)


def test_a_forget_image_that_does_not_exist_is_refused_before_any_work():
    with pytest.raises(
        FileNotFoundError, match="forget: 9999-1 is neither a file nor a picture of miniature"
    ):
        resolve(forget=["9999-1"])


def test_figure8_runs_on_flags_here_and_on_the_published_model_with_the_papers_settings():
    here, there = plan.resolve("figure8"), plan.resolve("figure8", "paper", inputs=False)
    assert (
        here.experiment.model.source == "miniature"
        and here.experiment.family_settings().t5_tokens == 0
        and here.experiment.networks.name == "flags"
    )
    assert (
        there.experiment.model.source == "stabilityai/stable-diffusion-3-medium-diffusers"
        and there.experiment.prompt == "flag of Japan"
        and there.experiment.remember.images == 100
    )
    published = [c for c in there.cells if c.origin != "as its code does"]
    steps = {c.method.name: c.training.steps for c in published}
    assert steps == {"neggrad": 60, "erasediff": 100, "siss": 100, "duo": 100, "surrogate": 100}
    assert {(c.training.lr, c.training.batch) for c in published} == {(1e-5, 8)}
    assert all(c.method.settings["beta"] == 2e-4 for c in there.cells if c.method.name == "surrogate")
    # 750 is of SD 1.4 and its whole UNet
    assert {json.dumps(c.method.settings) for c in there.cells if c.method.name == "siss"} == {
        '{"relative_norm": 0.1}'
    }


def test_a_familys_settings_are_checked_when_the_plan_is_made():
    assert plan.resolve("figure8", overrides={"model.rank": 16}).experiment.family_settings().rank == 16
    with pytest.raises(ValueError, match="model: no setting 'rnak' .did you mean rank"):
        plan.resolve("figure8", overrides={"model.rnak": 16})


def test_measuring_more_needs_no_other_training_or_images():
    five = ["sscd", "lpips", "ssim", "fid_pre", "fid_real"]
    one, more = resolve(), resolve(metrics=[*five, "nearest"])
    assert [c.name for c in one.experiment.metrics] == five
    a, b = (p.run().cells[0].keys for p in (one, more))
    assert {k for k in b if a.get(k) != b[k]} == {"row", "metric nearest"}


@pytest.mark.parametrize(
    "metrics, words",
    [
        (["sscd"], "lpips, ssim, fid_pre, fid_real are missing"),
        (
            ["sscd", "lpips", "ssim", "fid_pre", "fid_real", "sscdd"],
            "metrics: no 'sscdd'; .*did you mean sscd",
        ),
        (["sscd", "lpips", "ssim", "fid_pre", {"name": "fid_real", "n": 3}], "fid_real: no setting 'n'"),
    ],
)
def test_a_wrong_list_of_metrics_is_explained(metrics, words):
    with pytest.raises(ValueError, match=words):
        resolve(metrics=metrics)


@pytest.mark.parametrize(
    "text, said",
    [
        ("a:\n  - [", "not valid YAML"),
        ("pipelineInfo: {}\n---\nplatforms: {}\n", "a compiled pipeline, which only `submit` takes"),
    ],
)
def test_text_that_is_no_yaml_is_refused_in_one_line(text, said):
    with pytest.raises(ValueError, match=said) as error:
        plan.read_yaml(text)
    assert "\n" not in str(error.value)


def test_a_cell_holds_what_its_choices_name_and_writes_the_choices_alone():
    cell = resolve({"method.beta": 3e-4}).cells[0]
    assert cell.method.made.beta == 3e-4 and cell.method.made.projection == "forget"  # its class's default
    assert type(cell.editor.made).__module__ == "unpromptable.editing.editors.paint"
    assert to_json(cell)["method"] == {"name": "surrogate", "settings": {"beta": 3e-4}}
    again = dataclasses.replace(cell, method=Choice("siss", {"mixture": 0.25}))
    assert again.method.made.mixture == 0.25 and again.editor.made is cell.editor.made
    other = dataclasses.replace(again.method, settings={"mixture": 0.75})
    assert dataclasses.replace(cell, method=other).method.made.mixture == 0.75
    assert [type(m.made).__name__ for m in resolve().experiment.metrics] == ["Metric"] * 5


def test_a_cell_of_a_wrong_choice_cannot_be_made():
    with pytest.raises(ValueError, match="surrogate.beta is 1.0"):
        dataclasses.replace(resolve().cells[0], method=Choice("surrogate", {"beta": 1.0}))
    cell = resolve(base={"editor": "flip"}).cells[0]
    for wrong in (Choice("flip"), cell.editor):
        with pytest.raises(ValueError, match="methods: no 'flip'"):
            dataclasses.replace(cell, method=wrong)


def test_planning_is_imported_without_torch():
    code = "import sys; import unpromptable.planning.plan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_a_cell_costs_to_plan_does_not_grow_with_the_cells(monkeypatch):
    """Counted in digests: thousands of cells are planned within seconds."""
    from unpromptable.storage import fingerprints

    counts, usual = [], fingerprints.digest
    monkeypatch.setattr(fingerprints, "digest", lambda value: (counts.append(1), usual(value))[1])

    def digests(cells):
        resolved = resolve(cells=[{"name": f"c{i}", "training": {"seed": i}} for i in range(cells)])
        counts.clear()
        assert len(resolved.run().cells) == cells
        return len(counts)

    digests(2)  # reads the code, once for all
    few, more, most = (digests(n) for n in (10, 20, 40))
    assert most - more == 2 * (more - few) <= 20 * 20

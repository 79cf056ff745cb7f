"""The README's examples of the five kinds, each in a package of someone else, do what they say."""

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from finished_run import EXPERIMENT, failed, row, store  # noqa: F401  (store is a fixture)

from unpromptable.planning import plan, plugins
from unpromptable.planning.experiment import METRICS
from unpromptable.planning.settings import Source
from unpromptable.scoring import metric_networks
from unpromptable.unlearning import gradients

from . import others, small, test_editors, test_families, test_methods, test_metrics

README = Path(__file__).parents[2] / "components" / "README.md"
FOLDERS = {of.folder.replace(".", "/"): kind for kind, of in plugins.KINDS.items()}
EXAMPLES = {
    FOLDERS[folder]: (name, code)
    for code, folder, name in re.findall(
        r"```python\n(# (\S+)/(\w+)\.py\n.*?)```", README.read_text(encoding="utf-8"), re.S
    )
}
NAME = {kind: name for kind, (name, _) in EXAMPLES.items()}


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("others")
    for kind, (name, code) in EXAMPLES.items():
        others.put(folder, kind, name, code)
    with others.on_path(str(folder)):
        yield folder


def test_there_is_an_example_of_every_kind_and_each_is_found_by_its_name():
    assert set(EXAMPLES) == set(plugins.KINDS)
    for kind, name in NAME.items():
        assert name in plugins.names(kind) and plugins.find(kind, name).__module__ == f"others_{name}"
        with pytest.raises(ValueError, match=f"{kind}s: no 'x'; choose from .*{name}"):
            plugins.find(kind, "x")


def test_an_experiment_names_them_as_it_names_those_that_ship(tmp_path):
    told = {
        "name": "t",
        "forget": ["0104-3"],
        "model": {"name": NAME["model"], "source": str(small.MINIATURE / "ddpm"), "blocks": ["mid_block"]},
        "metrics": [*METRICS, NAME["metric"]],
        "cells": [{"method": {"name": NAME["method"], "weight": 0.5}, "editor": NAME["editor"]}],
    }
    found = plan.resolve(json.dumps(told, indent=1))
    assert found.cells[0].method.made.weight == 0.5 and found.cells[0].editor.made.sigma == 4
    assert found.experiment.family_settings().blocks == ("mid_block",)


def test_another_process_loads_them(installed):
    asked = f"from unpromptable.planning import plugins\nfor k in {NAME!r}.items(): print(plugins.make(*k))"
    path = os.pathsep.join([str(installed), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", asked], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0 and len(done.stdout.splitlines()) == len(NAME), done.stderr


def test_the_metric_measures():
    before = np.full((3, 4, 4, 3), 200, np.uint8)
    after = before + np.array([1, 2, 6], np.uint8).reshape(3, 1, 1, 1)
    metric, networks = plugins.make("metric", NAME["metric"]), metric_networks.load("miniature")
    assert metric.measure(small.evidence(before=before, after=after), networks)["brightness"].mean == 3
    found = test_metrics.measure(NAME["metric"], small.evidence())
    test_metrics.test_it_gives_its_own_name_with_an_interval_around_its_mean(NAME["metric"], lambda _: found)


def test_the_method_updates(tiny):
    reference = tiny.reference()
    model = small.stir(tiny), reference
    test_methods.test_it_leaves_finite_gradients_on_what_trains_and_the_weights_as_they_were(
        NAME["method"], model
    )
    test_methods.test_micro_batches_give_the_whole_batchs_gradient_also_where_numbers_are_drawn(
        NAME["method"], model
    )
    test_methods.test_it_runs_the_network_as_often_as_it_says(NAME["method"], tiny)
    batch = small.batch(tiny)
    (g_r,), _ = gradients.measure(tiny, batch, lambda m, b: (b.kept(m).mean(),))
    (g_f,), _ = gradients.measure(tiny, batch, lambda m, b: (b.error(m, b.forget, b.surrogate).mean(),))
    plugins.make("method", NAME["method"], {"weight": 0.5}).update(tiny, batch)
    for p, r, f in zip(tiny.trained(), g_r, g_f):
        torch.testing.assert_close(p.grad, r + 0.5 * f)
    with pytest.raises(ValueError, match="retarget.weight is 0"):
        plugins.make("method", NAME["method"], {"weight": 0})


def test_the_editor_edits():
    name, edits = NAME["editor"], plugins.make("editor", NAME["editor"]).edit(small.scene())
    test_editors.test_surrogates_have_the_targets_shape_and_are_not_the_targets(name, lambda _: edits)
    test_editors.test_the_same_scene_gives_the_same_surrogates_and_stays_as_it_was(name, lambda _: edits)
    flat = small.scene(forget=np.full((2, 32, 32, 3), 90, np.uint8))
    np.testing.assert_array_equal(plugins.make("editor", name).edit(flat), flat.forget)


def test_the_report_writes(store):
    rows = [row("Good, or so", 0.2, 0.3), failed("Broken", "unlearn: no")]
    path = plugins.make("report", NAME["report"]).write(store, EXPERIMENT, rows, "FAILED")
    lines = list(csv.DictReader(path.open(newline="")))
    assert [(x["cell"], x["status"]) for x in lines] == [("Good, or so", "done"), ("Broken", "failed")]
    assert float(lines[0]["sscd"]) == 0.2 and lines[1]["sscd"] == ""


def test_the_family_loads_and_trains_its_blocks_alone(tmp_path):
    family, source = plugins.make("model", NAME["model"]), str(small.MINIATURE / "ddpm")
    asked = replace(
        small.experiment("ddpm"), model=Source(NAME["model"], source, settings={"blocks": ["mid_block"]})
    )
    assert family.fetch(source, tmp_path / "m") == source
    family.check(tmp_path / "m", asked)
    model = family.model.load(tmp_path / "m", "cpu", asked)
    middle = {id(p) for p in model.network.mid_block.parameters()}
    assert {id(p) for p in model.trained()} == middle
    test_families.test_the_output_that_leads_to_the_picture_itself_is_the_target_of_its_noise(model)
    test_families.test_the_reference_stays_as_it_was_while_the_model_changes(model)
    plugins.make("method", "naive").update(model, small.batch(model))
    assert {id(p) for p in model.network.parameters() if p.grad is not None} == middle

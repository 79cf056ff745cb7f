"""What all cells share of the evidence is computed once, and anew where what it depends on changed."""

from dataclasses import replace

import numpy as np
import pytest

from unpromptable.planning.experiment import Experiment
from unpromptable.planning.settings import Source
from unpromptable.scoring import evidence, metric_networks

ONE, OTHER = (np.full((2, 8, 8, 3), level, np.uint8) for level in (10, 200))


@pytest.fixture
def versions(monkeypatch):
    """A suffix for the identity of a module's code, as if it had been edited."""
    given, usual = {}, evidence.code
    monkeypatch.setattr(evidence, "code", lambda *m: f"{usual(*m)}{''.join(given.get(one, '') for one in m)}")
    return given


@pytest.fixture
def seen(tmp_path):
    """Evidence whose base model is a folder of one file."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "weights").write_bytes(b"1")
    models = evidence.Models(Experiment("t", "miniature", "x", ("a",)), tmp_path / "base", tmp_path / "after")
    sides = {"a": ONE}
    return evidence.Evidence(
        ONE, OTHER, ONE, sides, sides, {"a": ONE[0]}, sides, tmp_path / "kept", models=models
    )


def of_experiment(seen, **change):
    return replace(seen, models=replace(seen.models, experiment=replace(seen.models.experiment, **change)))


def rewritten(seen):
    (seen.models.before / "weights").write_bytes(b"2")
    return seen


CHANGES = {
    "nothing": lambda seen, versions: seen,
    "outputs after": lambda seen, versions: replace(seen, after=ONE),
    "a target": lambda seen, versions: replace(seen, forget={"a": OTHER[0]}),
    "the base model's files": lambda seen, versions: rewritten(seen),
    "the model's settings": lambda seen, versions: of_experiment(seen, model=Source(revision="1")),
    "the family's code": lambda seen, versions: (
        versions.update({"unpromptable.models.families.ddpm": "2"}) or seen
    ),
    "the metric's code": lambda seen, versions: versions.update({__name__: "2"}) or seen,
    "another metric's code": lambda seen, versions: versions.update({"another": "2"}) or seen,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_metric_computes_of_the_base_model_is_kept_under_all_it_depends_on(seen, versions, change):
    calls = []

    def compute():
        calls.append(1)
        return {"a": [1.0]}

    seen.shared("likelihood", {"probes": 2}, compute)
    assert CHANGES[change](seen, versions).shared("likelihood", {"probes": 2}, compute) == {"a": [1.0]}
    kept = change in ("nothing", "outputs after", "another metric's code")
    assert len(calls) == (1 if kept else 2)
    seen.shared("likelihood", {"probes": 3}, compute)
    assert len(calls) == (2 if kept else 3)


@pytest.mark.parametrize("change", ["nothing", "weights", "networks", "pictures", "code"])
def test_features_are_kept_under_their_pictures_and_the_weights_and_code_of_their_network(
    seen, versions, change
):
    calls, real = [], metric_networks.load("miniature")
    networks = replace(real, features=lambda images: calls.append(1) or real.features(images))
    seen.features("before", networks)
    if change == "weights":
        networks = replace(networks, weights="other")
    if change == "networks":
        networks = replace(networks, name="flags")
    if change == "code":
        versions["unpromptable.scoring.metric_networks"] = "2"
    replace(seen, before=OTHER if change == "pictures" else ONE, kept={}).features("before", networks)
    assert len(calls) == (1 if change == "nothing" else 2)


def test_the_networks_that_ship_are_told_by_their_weights():
    names = ("miniature", "flags")
    told = [metric_networks.load(name).weights for name in names]
    assert all(told) and told[0] != told[1]


def test_a_target_that_is_given_by_its_path_is_no_picture_to_keep(seen):
    named = {"source": "/keep", "names": ("a.png", "b.png"), "real": seen.before[:2], "remember": None}
    given = replace(seen, forget={"/keep/a.png": seen.before[0]}, **named)
    side, rows = given.to_keep
    assert side == "real" and rows.tolist() == [1]

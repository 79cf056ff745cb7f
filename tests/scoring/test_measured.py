"""What a metric of another package may give: estimates by names of their own, or it is said why not."""

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unpromptable.planning.settings import Networks
from unpromptable.reporting.row import OWN
from unpromptable.scoring import measured
from unpromptable.scoring.estimates import Estimate
from unpromptable.storage.once import CellFailed

FINE = Estimate(0.5, 0.4, 0.6, 4)
MANIFESTS = {k: {"distances": [], "seconds": 1.0, "sha256": {}} for k in ("surrogates", "after")}


@dataclass(frozen=True)
class Gives:
    """A metric that gives this."""

    found: Any

    def measure(self, evidence, networks):
        return self.found


def measure(folder, **metrics):
    """The values of a cell's metrics, each of which gives what stands there."""
    chosen = tuple(SimpleNamespace(name=name, made=Gives(found)) for name, found in metrics.items())
    experiment = SimpleNamespace(metrics=chosen, networks=Networks("miniature"))
    artifacts = SimpleNamespace(manifests=lambda: MANIFESTS)
    keys = dict.fromkeys(metrics, "key")
    return measured.measure(experiment, artifacts, lambda: None, folder, keys, OWN)


def test_estimates_by_their_names_are_taken_also_without_an_interval(tmp_path):
    given = {"brightness": FINE, "brightness_most": Estimate(1, None, None, 1)}
    for _ in range(2):  # measured, then read
        found = measure(tmp_path, lpips={"lpips": FINE}, brightness=given)
        assert found["brightness"]["mean"] == 0.5 and found["brightness_most"]["low"] is None


@pytest.mark.parametrize(
    "given, words",
    [
        (0.5, r"gave 0.5; `measure` must return a dict of Estimates by name"),
        (FINE, r"gave .*Estimate.*; `measure` must return a dict of Estimates by name"),
        (None, r"gave .*; `measure` must return a dict"),
        ({"brightness": 0.5}, r"gave .*0.5.*; `measure` must return a dict"),
        ({"lightness": FINE}, r"gave .*lightness.*, one of them its own"),
        ({"brightness": FINE, 1: FINE}, r"gave .*1.*, one of them its own"),
        ({"brightness": Estimate(float("nan"), None, None, 4)}, r"brightness is mean nan, .* give finite"),
        ({"brightness": Estimate(1.0, 0.0, float("inf"), 4)}, r"high inf, .* give finite"),
        ({"brightness": Estimate(1.0, 0.0, None, 4)}, r"low 0.0, high None, .* give finite"),
        ({"brightness": Estimate(np.float32(1.5), None, None, 4)}, r"1.5.*numbers of Python's own"),
        ({"brightness": Estimate(1.5, 1.0, 2.0, np.int64(4))}, r"n .*4.*numbers of Python's own"),
    ],
)
def test_what_is_no_estimate_is_refused_in_words_that_name_the_metric(given, words, tmp_path):
    with pytest.raises(CellFailed, match=f"^metric brightness: .*{words}"):
        measure(tmp_path, brightness=given)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "name, words",
    [
        ("lpips", "gives lpips, as the metric lpips does; it must give its values names of their own"),
        ("status", "gives status, as every row does"),
        ("labels", "gives labels, as every row does"),
        ("members", "gives members, as every row does"),
    ],
)
def test_no_metric_takes_anothers_name_or_a_word_of_the_row_also_when_it_is_read(name, words, tmp_path):
    given = {"brightness": FINE, name: Estimate(0.0, 0.0, 0.0, 4)}
    for _ in range(2):
        with pytest.raises(CellFailed, match=f"^metric brightness: {words}"):
            measure(tmp_path, lpips={"lpips": FINE}, brightness=given)
    assert json.loads((tmp_path / "metrics" / "lpips.json").read_text())["lpips"]["mean"] == 0.5

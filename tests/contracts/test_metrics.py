"""Every metric gives its own name with an interval around its mean, the same again, and no other's names."""

import dataclasses
import re

import numpy as np
import pytest

from unpromptable.planning import plugins
from unpromptable.reporting.row import OWN
from unpromptable.scoring import metric_networks

from . import small


def measure(name, evidence):
    return small.metric(name).measure(evidence, metric_networks.load("miniature"))


@pytest.fixture(scope="module")
def found():
    """Each metric's estimates of the evidence, made once."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = measure(name, small.evidence())
        return known[name]

    return of


@small.choices("metric")
def test_it_gives_its_own_name_with_an_interval_around_its_mean(name, found):
    assert name in found(name)
    for e in found(name).values():
        if e.n == 1:  # nothing tells how far a single value may be off, unless the metric itself does
            assert np.isfinite(e.mean) and (e.low is None) == (e.high is None)
        else:
            assert e.low <= e.mean <= e.high and e.n > 0 and np.isfinite([e.low, e.high]).all()


@small.choices("metric")
def test_the_same_evidence_measures_the_same_and_stays_as_it_was(name, found):
    evidence = small.evidence()
    numbers = lambda e: np.array(dataclasses.astuple(e), float)  # nan where there is no interval
    for key, e in measure(name, evidence).items():
        np.testing.assert_allclose(numbers(e), numbers(found(name)[key]), rtol=1e-5, atol=1e-6)
    for side in ("before", "after", "real"):
        np.testing.assert_array_equal(getattr(evidence, side), getattr(small.evidence(), side))


def test_names_of_values_suit_every_tracking_server_and_are_no_other_metrics(found):
    names = [key for metric in plugins.names("metric") for key in found(metric)]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z0-9_./ -]+", n) for n in names)
    # beside which they stand in rows.json
    assert not OWN & set(names)


@small.choices("metric")
def test_its_file_says_what_it_is_and_the_files_that_it_reads_are_there(name):
    said = plugins.says("metric", name)
    assert len(said) > 10 and said.endswith((".", "?")) and "\n" not in said
    assert all(f.is_file() for f in small.metric(name).files())

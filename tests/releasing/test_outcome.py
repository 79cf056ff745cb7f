"""What a request came to: the gates as certified, and the same draws before and after."""

import dataclasses
import shutil

import numpy as np
import pytest
from release_rows import BASE, BOUNDS, row

from unpromptable import data
from unpromptable.releasing import certificate, gates, outcome, release
from unpromptable.reporting.row import Surrogate, write_rows

TARGET = "pictures/person-a.png"
FINE = Surrogate(TARGET, 0.1, 0.2, 30.0, 0.3, 0.0, "fine", "")


@pytest.fixture
def answered(released):
    """The release beside a run whose draws are of one grey each: 10 and 20 before, 110 and 120 after."""
    run, grey = released / "run", lambda level: np.full((6, 8, 8, 3), level, np.uint8)
    write_rows(run / "rows.json", [dataclasses.replace(row(), surrogates=(FINE,))])
    for place, more in (("shared/before", 0), ("cells/c/after", 100)):
        (run / place).parent.mkdir(parents=True, exist_ok=True)
        images = {f"injected/{TARGET}": grey(10 + more), "samples": grey(20 + more)}
        data.save(run / f"{place}.safetensors", images, {})
    return released


def test_the_gates_are_those_of_the_certificate(answered):
    found = outcome.read(answered)
    assert found.outcome == certificate.RELEASED and found.attempt == "neighbours x1"
    assert found.findings == {"neighbours x1": gates.judged(row(), BOUNDS)}


def test_targets_and_other_pictures_are_compared_draw_by_draw_and_no_target_is_named(answered):
    target, others = outcome.read(answered).pairs
    assert target.before.shape == target.after.shape == (512, 512, 3)
    assert [int(p.max()) for p in (target.before, target.after, others.before, others.after)] == [
        10,
        110,
        20,
        120,
    ]
    assert "person-a" not in target.title + others.title


def test_draws_of_a_target_stay_veiled_where_the_report_veils_them(answered):
    assert [p.title for p in outcome.read(answered, "omit").pairs] == [
        "Other pictures, drawn from the same seeds"
    ]
    assert len(outcome.read(answered, "blur").pairs) == 2


def test_a_certificate_is_enough_when_the_pictures_are_gone(answered):
    shutil.rmtree(answered / "run/shared")
    assert outcome.read(answered).pairs == () and outcome.read(answered).outcome == certificate.RELEASED
    shutil.rmtree(answered / "release")
    with pytest.raises(FileNotFoundError, match="no certificate"):
        outcome.read(answered)


def test_where_nothing_had_to_be_forgotten_nothing_is_compared(tmp_path, asked):
    how = ("1" * 64, tmp_path / "run", BASE, None, {}, None)
    assert release.write(tmp_path / "release", asked, *how) == certificate.NOTHING
    assert outcome.read(tmp_path) == outcome.Outcome(certificate.NOTHING, "", {}, ())

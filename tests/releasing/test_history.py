"""What a series keeps of its requests, when it says that retraining is better, and its page."""

import dataclasses

import pytest

from unpromptable.releasing import drift, history, series
from unpromptable.scoring.estimates import Estimate

GATES = ({"metric": "lpips", "bound": 0.4, "holds": True}, {"metric": "ssim", "bound": 0.8, "holds": True})


def kept(lpips, ssim, fid_pre):
    numbers = {"lpips": lpips, "ssim": ssim, "fid_pre": fid_pre}
    return {name: Estimate(v, v - 0.02, v + 0.02, 16) for name, v in numbers.items()}


def entry(number, far=(0.1, 0.95, 0.3), **more):
    earlier = {f"digest-{n}": (0.2,) for n in range(1, number)}
    told = {
        **{"name": f"ticket-{number}", "sha256": f"digest-{number}", "request": "/r.yaml", "folder": "/t"},
        **{"row": "cells/a", "created": "2026-11-28T12:00:00+00:00", "outcome": "released"},
        **{"version": str(number), "base": str(number - 1) if number > 1 else "", "bound": 0.4},
        **{"gates": GATES, "tried": 1, "budget": 4, "sscd": 0.3, "earlier": earlier},
        **{"own": kept(0.1, 0.95, 0.3), "drift": kept(*far)},
    }
    return series.Entry(**{**told, **more})


def test_entries_are_read_as_they_were_written_and_are_their_owners_alone(tmp_path):
    for number in (1, 2):
        series.add(tmp_path, entry(number))
    found = series.add(tmp_path, entry(2, tried=3))
    assert series.read(tmp_path) == found == [entry(1), entry(2, tried=3)]
    assert (tmp_path / series.FILE).stat().st_mode & 0o777 == 0o600
    assert series.read(tmp_path / "none") == []


@pytest.mark.parametrize("text", ["[", '[{"name": "a"}]', "{}"])
def test_a_damaged_list_of_requests_is_said_in_one_line(tmp_path, text):
    (tmp_path / series.FILE).write_text(text)
    with pytest.raises(ValueError, match=r"series.json: damaged") as refused:
        series.read(tmp_path)
    assert "\n" not in str(refused.value)


def test_the_line_of_a_version_leaves_out_what_never_led_to_it(tmp_path):
    entries = [entry(1), entry(2), entry(3, base="1"), entry(4, version="", outcome="refused")]
    assert [e.version for e in series.line(entries, "3", tmp_path)] == ["1", "3"]
    assert series.line(entries, "", tmp_path) == []
    with pytest.raises(ValueError, match="no entry of version 1.*restore the file"):
        series.line(entries[1:], "2", tmp_path)


@pytest.mark.parametrize(
    "last, words",
    [
        ({"far": (0.39, 0.9, 1)}, "LPIPS is 0.410 at its worst, past the gate of 0.400"),
        ({"far": (0.1, 0.81, 1)}, "SSIM is 0.790 at its worst, past the gate of 0.800"),
        ({"tried": 4}, "took all 4 attempts"),
    ],
)
def test_retraining_is_better_past_a_gate_or_where_attempts_took_the_budget(last, words):
    line = [entry(1), entry(2, **last)]
    retrain, told = drift.advice(line, line[-1])
    assert retrain and words in told


def test_a_request_that_was_refused_asks_for_retraining_whatever_was_released_before():
    line = [entry(1)]
    refused = entry(2, outcome="refused", version="", tried=4)
    assert drift.advice(line, refused) == (
        True,
        "Retraining is the better answer: no attempt at request ticket-2 passes every gate (4 made).",
    )


def test_while_a_hotfix_is_better_the_requests_that_still_fit_are_counted():
    line = [entry(1), entry(2, far=(0.08, 0.98, 0.3))]
    retrain, told = drift.advice(line, line[-1])
    # LPIPS at its worst went up by 0.05 a request, and 0.3 is left to its gate; SSIM by 0.02, and 0.16
    assert not retrain and told.endswith("about 6 more fit before LPIPS reaches its gate.")
    assert drift.advice([], None) == (False, "Nothing was released yet.")


def test_the_page_shows_every_target_in_every_release_and_names_what_the_champion_lacks(tmp_path):
    entries = [entry(1), entry(2), entry(3, earlier={"digest-1": (None,), "digest-2": (0.55,)})]
    entries.append(entry(4, version="", outcome="refused", tried=4, base="3", bound=None, sscd=None))
    told = history.write(tmp_path, "faces", entries, "2", "3")
    page = (tmp_path / history.PAGE).read_text()
    assert told in page and told.startswith("Retraining")
    assert page.count('<span class="yes">') == 4 and '<span class="no">0.55</span>' in page
    assert '<span class="soft">purged</span>' in page and page.count("data:image/png;base64,") == 1
    assert [p.name for p in tmp_path.iterdir()] == [history.PAGE]
    states = [history.state(e, entries, "2", "3", tmp_path) for e in entries]
    assert states == ["in the champion", "champion", "candidate", "refused"]
    assert history.state(entries[1], entries, "1", "", tmp_path) == "not in the champion"


def test_a_drift_that_cannot_be_known_is_said_and_no_advice_rests_on_it(tmp_path):
    entries = [entry(1), entry(2, drift=None)]
    series.add(tmp_path, entries[1])
    assert series.read(tmp_path) == entries[1:]
    assert history.write(tmp_path, "faces", entries, "2", "") == drift.UNKNOWN
    assert (tmp_path / history.PAGE).read_text().count("not known") == 1 + len(drift.METRICS)
    retrain, told = drift.advice([entry(1), entry(2, drift=None, tried=4)], None)
    assert retrain and "took all 4 attempts" in told


def test_a_series_of_ten_and_more_has_a_column_for_each(tmp_path):
    entries = [entry(n, far=(0.02 * n, 1 - 0.01 * n, 0.1 * n)) for n in range(1, 13)]
    entries = [dataclasses.replace(e, created=f"2026-11-{i:02}") for i, e in enumerate(entries, 1)]
    assert not history.write(tmp_path, "faces", entries, "12", "").startswith("Retraining")
    assert (tmp_path / history.PAGE).read_text().count('<span class="yes">') == 12 * 13 / 2

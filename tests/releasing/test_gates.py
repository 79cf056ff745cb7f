"""Gates: what each judges, and which end of an interval."""

import dataclasses
import re

import numpy as np
import pytest
from release_rows import BASE, BOUNDS, row

from unpromptable.releasing import gates, release, request
from unpromptable.scoring.estimates import estimate, worst


def test_the_default_gate_is_what_unrelated_pictures_reach_where_that_is_above_the_paper_s():
    assert gates.of({}, 0.25)["sscd"] == 0.4 and gates.of({}, 0.5123)["sscd"] == 0.512
    own = {"sscd": 0.3, "lookalikes": 0.5, "relearn": 40}
    assert gates.of({"sscd": 0.3, "relearn": 40}, 0.5) == {**gates.DEFAULTS, **own}


def test_no_lookalike_may_be_forgotten_by_the_test_that_says_the_target_is():
    assert gates.of({}, 0.25)["lookalikes"] == 0.4 and gates.of({"lookalikes": 0.7}, 0.5)["lookalikes"] == 0.7
    [lost] = [f for f in gates.judged(row(lookalikes=0.44), BOUNDS) if not f.holds]
    assert lost.metric == "lookalikes" and lost.value == pytest.approx(0.39) and not gates.keeps([lost])
    assert lost.line() == "lookalikes 0.440, at its worst 0.390: not above 0.400"
    assert "lookalikes" in gates.metrics({})


@pytest.mark.parametrize(
    "said, gate, metric",
    [
        ("labels: people.csv", "group", "'name': 'group', 'labels': '.*people.csv'"),
        ("settings: {other_prompts: [flag of Peru]}", "lpips_prompts", "'lpips_kept'"),
    ],
)
def test_a_part_of_what_is_kept_has_the_gate_of_all_of_it(asked, tmp_path, said, gate, metric):
    file = tmp_path / "request.yaml"
    (tmp_path / "people.csv").write_text("a.png,a\n")
    assert asked.parts == ()
    file.write_text(f"{file.read_text()}{said}\n")
    parts = request.read(file).parts
    assert parts == (gate,) and gates.of({}, 0.2, parts)[gate] == gates.DEFAULTS["lpips"]
    assert gates.of({"lpips": 0.2}, 0.2, parts)[gate] == 0.2
    assert gates.of({"lpips": 0.2, gate: 0.3}, 0.2, parts)[gate] == 0.3
    assert re.search(metric, str(request.read(file).experiment([])["metrics"]))


@pytest.mark.parametrize(
    "labels, said",
    [
        (
            b"b.png,b\n",
            "people.csv has no line for a.png, a picture of .*keep .1 of 1 are missing.; give name,group",
        ),
        (b"a.png,a,x\n", "people.csv has 'a.png,a,x'; give lines of name,group"),
        (b"\x89PNG", "people.csv is no CSV file"),
    ],
)
def test_labels_that_are_none_are_refused_before_anything_is_trained(asked, tmp_path, labels, said):
    file = tmp_path / "request.yaml"
    (tmp_path / "people.csv").write_bytes(labels)
    file.write_text(f"{file.read_text()}labels: people.csv\n")
    with pytest.raises(ValueError, match=said):
        request.read(file)


def test_labels_that_are_not_there_are_missed_before_anything_is_trained(asked, tmp_path):
    file = tmp_path / "request.yaml"
    file.write_text(f"{file.read_text()}labels: people.csv\n")
    with pytest.raises(
        FileNotFoundError, match="request.labels: .*people.csv is no file; give lines of name"
    ):
        request.read(file)


def test_gates_of_forgetting_take_the_target_that_is_worst():
    least = gates.of({"likelihood_change": 0.5}, 0.25)
    given = row(likelihood_change=2.0, likelihood_least=0.52)
    [lost] = [f for f in gates.judged(given, least) if not f.holds]
    assert (lost.metric, lost.mean) == ("likelihood_change", 0.52) and gates.keeps([lost])
    assert "likelihood" in gates.metrics({"likelihood_change": 0.5})


def test_a_gate_that_one_target_alone_would_fail_fails_for_all():
    unsure = estimate(np.array([0.05, 0.1, 0.1, 0.15, 0.2, 0.65, 0.7, 0.75]))
    sure = estimate(np.array([0.33, 0.34, 0.34, 0.35, 0.35, 0.35, 0.36, 0.36]))
    assert unsure.mean < sure.mean and not gates.finding("sscd", 0.4, unsure).holds
    assert not gates.finding("sscd", 0.4, worst([unsure, sure])).holds
    given = dataclasses.replace(row(), metrics={**row().metrics, "group_most": unsure, "group": sure})
    [found] = gates.judged(given, {"group": 0.4})
    assert not found.holds and found.value == unsure.high


def test_the_worse_end_of_an_interval_is_what_a_gate_judges():
    found = {f.metric: f for f in gates.judged(row(sscd=0.36, ssim=0.84), BOUNDS)}
    assert not found["sscd"].holds and found["sscd"].value == pytest.approx(0.41)
    assert not found["ssim"].holds and found["ssim"].value == pytest.approx(0.79)
    assert found["lpips"].holds and found["nearest_excess"].holds


def test_no_sample_may_be_nearer_to_the_target_than_the_nearest_picture_to_keep():
    assert [f.metric for f in gates.judged(row(nearest=0.7), BOUNDS) if not f.holds] == ["nearest_excess"]


def test_every_gate_is_said_in_words_to_who_reads_a_certificate(released):
    assert gates.MEANS.keys() == gates.SIDES.keys()
    page = (released / "release/certificate.html").read_text()
    for metric in BOUNDS:
        assert f"{metric}<br><small>{gates.MEANS[metric]}" in page
    assert "<td>below 0.400" in page and "<td>above 0.800" in page


def test_a_gate_of_an_earlier_request_is_said_too(released, asked):
    judged = gates.judged(row(), BOUNDS)
    before = gates.Finding("earlier request 1", 0.4, 0.3, 0.2, 0.1, 0.3, 8, True)
    how = ("0" * 64, released / "run", BASE, row(), {"neighbours x1": [*judged, before]})
    release.write(released / "again", asked, *how, released / "operator.key")
    page = (released / "again/certificate.html").read_text()
    assert "earlier request 1<br><small>likeness to the picture of earlier request 1" in page

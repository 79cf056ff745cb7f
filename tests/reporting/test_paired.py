"""Differences are taken where both forgot, at the same target and training seed, by hand."""

from dataclasses import replace

import pytest
from finished_run import EXPERIMENT, around, row, store  # noqa: F401  (store is a fixture)

from unpromptable.reporting import groups, paired
from unpromptable.reporting.reports import html, markdown

NONE = {"labels": {}, "surrogates": (), "seconds": {}, "status": "unsampled", "error": "not sampled"}


def cell(name, target, seed, sscd, lpips, **more):
    """A row of a sweep over targets and training seeds."""
    told = {"method": name, "forget": target, "training.seed": seed}
    given = {"line": name, "settings": told, "folder": "cells/good", **more}
    return row(f"{name} seed {seed}, {target}", sscd, lpips, **given)


def left(name, target, seed, sscd):
    """The row of a cell that was judged and not sampled."""
    known = {"sscd": around(sscd), "sscd_ceiling": around(0.95)}
    return cell(name, target, seed, sscd, 0.0, **NONE, metrics={**known, "lpips": None})


def found(rows):
    return paired.of(rows, groups.collect(rows))


OURS = [cell("Ours", t, s, 0.3, 0.1) for t in "ab" for s in (0, 1)]


def test_a_line_has_no_value_that_one_of_its_rows_alone_has():
    """Such as a lookalike's: the first row's would stand for the line's."""
    with_one = lambda r, t: replace(r, metrics={**r.metrics, f"lookalikes_sscd/00 {t}": around(0.5)})
    named = [with_one(cell("Ours", t, 0, 0.3, 0.1), t) for t in "ab"]
    (line,) = groups.collect(named)
    assert "lpips" in line.means() and not any("/" in k for k in line.metrics)


def test_differences_are_means_over_targets_of_those_of_each_seed():
    """Target a: +0.1 and +0.3, so 0.2; b: +0.6, its other seed did not forget. Mean 0.4, t(1) = 12.706."""
    other = [
        cell("SISS", "a", 0, 0.2, 0.2),
        cell("SISS", "a", 1, 0.3, 0.4),
        cell("SISS", "b", 0, 0.3, 0.7),
        left("SISS", "b", 1, 0.5),
    ]
    (one,) = found([*OURS, *other]).lines
    assert (one.name, one.forgot, one.ended, one.pairs, one.targets, one.note) == ("SISS", 3, 4, 3, 2, "")
    lpips, ssim = one.values["lpips"], one.values["ssim"]
    assert (lpips.mean, lpips.high - lpips.mean) == pytest.approx((0.4, 12.706 * 0.2), rel=1e-3)
    assert ssim.mean == pytest.approx(-0.4) and one.values["fid_pre"].mean == pytest.approx(0.4)
    assert paired.counts(one) == ("3 of 4", "3 (2 targets)")
    assert [sure for _, sure in paired.cells(one)] == [False] * 3


def test_a_difference_beyond_its_interval_is_marked_and_signed():
    other = [cell("SISS", t, s, 0.3, 0.4 + 0.002 * (t == "b")) for t in "ab" for s in (0, 1)]
    (one,) = found([*OURS, *other]).lines
    assert paired.cells(one)[0] == ("+0.301 ± 0.013", True) and paired.cells(one)[1] == (
        "-0.301 ± 0.013",
        True,
    )


def test_a_method_that_never_gets_there_is_named_with_its_sscd():
    rows = [*OURS, *(left("EraseDiff", t, s, 0.98 + 0.01 * s) for t in "ab" for s in (0, 1))]
    (one,) = found(rows).lines
    assert one.note.startswith("never gets there: SSCD 0.985 ± 0.000") and one.values == {}
    assert paired.counts(one) == ("0 of 4", "")


def test_methods_that_forget_other_targets_make_no_pair():
    rows = [cell("Ours", "a", 0, 0.3, 0.1), left("Ours", "b", 0, 0.6)]
    rows += [cell("SISS", "b", 0, 0.3, 0.1), left("SISS", "a", 0, 0.6)]
    assert found(rows).lines[0].note == "forgets no target that Ours forgets"


def test_the_reference_is_ours_or_the_one_that_forgets_most_and_keeps_best():
    weak = [left("Ours", t, 0, 0.6) for t in "ab"]
    one = [cell("A", "a", 0, 0.3, 0.1), left("A", "b", 0, 0.5)]
    two = [cell("B", t, 0, 0.3, 0.5) for t in "ab"]
    best = [cell("C", t, 0, 0.3, 0.4) for t in "ab"]
    assert found([*weak, *one, *two, *best]).reference == "C"
    assert found([*OURS, *one, *two]).reference == "Ours"
    assert found(weak + one) is not None and found(weak + [left("A", "a", 0, 0.5)]) is None


def test_a_frechet_distance_of_fewer_images_is_not_compared():
    rows = [cell("Ours", t, 0, 0.3, 0.1) for t in "ab"]
    rows += [cell("SISS", t, 0, 0.3, 0.2, stopped="after 32 images") for t in "ab"]
    (one,) = found(rows).lines
    assert set(one.values) == {"lpips", "ssim"} and paired.cells(one)[2] == ("—", False)


def test_reports_show_it_where_lines_have_several_rows_and_only_there(store):
    rows = [*OURS, *(left("EraseDiff", t, s, 0.98) for t in "ab" for s in (0, 1))]
    rows += [cell("SISS", t, s, 0.3, 0.4 + 0.002 * (t == "b")) for t in "ab" for s in (0, 1)]
    pages = lambda rows: [
        kind.Report().write(store, EXPERIMENT, rows, "SUCCEEDED").read_text() for kind in (html, markdown)
    ]
    page, text = pages(rows)
    assert "| SISS | 4 of 4 | 4 (2 targets) | **+0.301 ± 0.013** | **-0.301 ± 0.013** |" in text
    assert "| EraseDiff | 0 of 4 |  | never gets there: SSCD 0.980 ± 0.000 | | |" in text
    assert "Mean over 2 targets of 2 training seeds each ± half the 95 % interval over the targets" in text
    assert "against Ours" in page and "<b>+0.301 ± 0.013</b>" in page and "never gets there" in page
    told = {"settings": {"method": "siss"}, "folder": "cells/good"}
    alone = [row("Ours", 0.2, 0.1, folder="cells/good"), row("SISS", 0.2, 0.3, **told)]
    assert not any("Pair by pair" in text for text in pages(alone))

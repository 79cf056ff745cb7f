"""At equal forgetting: lines over the cells that forgot, with the updates that they took, by hand."""

import shutil
from dataclasses import replace

from finished_run import EXPERIMENT, around, store  # noqa: F401  (store is a fixture)
from test_paired import OURS, cell, left

from unpromptable.reporting import equal, groups
from unpromptable.reporting.reports import html, markdown


def ended(rows, store, updates):
    """The rows as those of trainings that a test ended, after so many updates each."""
    found = []
    for k, (r, n) in enumerate(zip(rows, updates)):
        folder = store / "cells" / f"c{k}"
        shutil.copytree(store / "cells" / "good", folder, dirs_exist_ok=True)
        (folder / "history.jsonl").write_text("".join(f'{{"step": {i}}}\n' for i in range(n)))
        settings = {**r.settings, "training.until": 0.4}
        found.append(replace(r, folder=f"cells/c{k}", settings=settings))
    return found


def kept(rows, store):
    return equal.of(store, rows, groups.collect(rows))


def test_a_line_is_the_mean_over_targets_of_its_cells_that_forgot(store):
    """Target a: LPIPS 0.1 and 0.3, so 0.2; b: 0.6, its other seed did not forget. Mean 0.4, t(1) = 12.706."""
    rows = [cell("SISS", *at) for at in (("a", 0, 0.2, 0.1), ("a", 1, 0.3, 0.3), ("b", 0, 0.3, 0.6))]
    (one,) = kept(ended([*rows, left("SISS", "b", 1, 0.5)], store, (20, 60, 40, 400)), store)
    assert (one.forgot, one.ended, one.updates) == (3, 4, (20, 60, 40)) and not one.note
    assert abs(one.values["lpips"].mean - 0.4) < 1e-9 and one.values["lpips"].n == 2
    assert abs(one.values["lpips"].high - 0.4 - 12.7062 * 0.2) < 1e-3
    told = equal.cells(one, [one])
    assert told[:2] == ["3 of 4", "40 (20 to 60)"] and len(told) == len(equal.titles([one])) == 6


def test_a_line_that_never_forgot_says_its_sscd(store):
    rows = [left("EraseDiff", t, 0, 0.98) for t in "ab"]
    (one,) = kept(ended(rows, store, (120, 120)), store)
    assert equal.cells(one, [one]) == ["0 of 2"] and one.note == "never gets there: SSCD 0.980 ± 0.000"


def test_how_alike_lookalikes_stayed_has_a_column_where_it_was_measured(store):
    rows = [replace(r, metrics={**r.metrics, "lookalikes": around(0.7)}) for r in OURS]
    (one,) = kept(ended(rows, store, (20,) * 4), store)
    assert equal.titles([one])[-1] == "lookalikes ↑" and equal.cells(one, [one])[-1] == "0.700 ± 0.000"
    assert equal.cells(one, [one])[1] == "20"


def test_reports_show_it_where_a_test_ends_trainings_and_only_there(store):
    rows = ended([*OURS, *(left("SISS", t, 0, 0.98) for t in "ab")], store, (20, 40, 60, 80, 9, 9))
    pages = lambda rows: [
        kind.Report().write(store, EXPERIMENT, rows, "SUCCEEDED").read_text() for kind in (html, markdown)
    ]
    page, text = pages(rows)
    assert "| Ours | 4 of 4 | 50 (20 to 80) | 0.300 ± 0.000 | 0.100 ± 0.000 |" in text
    assert "| SISS | 0 of 2 | never gets there: SSCD 0.980 ± 0.000 |" in text
    assert "At equal forgetting" in page and "50 (20 to 80)" in page and "never gets there" in page
    assert not any("At equal forgetting" in text for text in pages(OURS))

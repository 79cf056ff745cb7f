"""The report: self-contained, every cell named, ticks and best values right, failures shown."""

import re
from dataclasses import replace

from finished_run import EXPERIMENT, SURROGATE, around, failed, row, store  # noqa: F401  (store is a fixture)
from markupsafe import escape

from unpromptable.planning.settings import Choice, Sampling
from unpromptable.reporting import groups, tables
from unpromptable.reporting.reports import html, markdown
from unpromptable.scoring import verdict


def rows():
    """Three finished cells and one that failed."""
    broken = failed("Broken", "unlearn: remember is nan")
    return [row("Good", 0.2, 0.3), row("Better", 0.3, 0.1), row("Keeps", 0.9, 0.01), broken]


def test_the_page_needs_nothing_from_elsewhere_and_names_every_cell(store):
    text = html.Report().write(store, EXPERIMENT, rows(), "SUCCEEDED").read_text()
    assert not re.search(r'(src|href)="(?!data:)', text) and "<script" not in text
    assert all(r.name in text for r in rows()) and "Forgetting &lt;one&gt; face" in text
    assert "not SSCD, LPIPS or FID of the paper" in text and "the paper's" in text


def test_pictures_that_the_networks_do_not_know_are_said_to_be_so(store):
    unknown = "These networks know portraits drawn by code"
    assert (
        unknown
        in html.Report()
        .write(store, replace(EXPERIMENT, real="photographs"), rows(), "SUCCEEDED")
        .read_text()
    )
    assert unknown not in html.Report().write(store, EXPERIMENT, rows(), "SUCCEEDED").read_text()


def test_a_failed_cell_is_shown_with_its_error_and_the_page_says_so(store):
    page, text = (
        html.Report().write(store, EXPERIMENT, rows(), "FAILED").read_text(),
        markdown.Report().write(store, EXPERIMENT, rows(), "FAILED").read_text(),
    )
    for content in (page, text):
        assert "unlearn: remember is nan" in content and "did not succeed" in content


def test_best_is_judged_among_those_that_forget():
    assert (
        verdict.best(rows(), "lpips") == "Better"
        and verdict.best(rows(), "ssim") == "Better"
        and verdict.best(rows(), "sscd") is None
    )
    assert [c.mark for c in tables.cells(rows()[2], rows())] == ["✗", "", "", "", ""]


def test_the_verdict_says_who_forgot_and_who_did_not():
    text = tables.verdict(groups.collect(rows()))
    assert (
        "Good and Better forgot the target" in text
        and "Keeps did not forget it" in text
        and "Better keeps the model best by LPIPS, SSIM" in text
    )


def test_a_run_without_any_result_still_has_a_page(store):
    text = html.Report().write(store, EXPERIMENT, [rows()[3]], "FAILED").read_text()
    assert "No cell finished" in text


def test_metrics_beyond_the_papers_five_have_a_table_that_says_what_they_are(store):
    beyond = {"nearest": around(0.5), "nearest_before": around(0.5)}
    more = [replace(r, metrics={**r.metrics, **beyond}) for r in rows()[:2]]
    asked = replace(EXPERIMENT, metrics=(*EXPERIMENT.metrics, Choice("nearest")))
    text = html.Report().write(store, asked, more, "SUCCEEDED").read_text()
    assert (
        "<th>nearest_before</th>" in text
        and "does any of the model&#39;s ordinary samples show the target?" in text
    )
    assert "Beyond the paper" not in html.Report().write(store, EXPERIMENT, rows(), "SUCCEEDED").read_text()


def test_a_method_that_logs_none_of_the_known_losses_has_no_curves(store):
    for history in store.glob("cells/*/history.jsonl"):
        history.write_text('{"step": 1, "distance": 0.5}\n')
    page = html.Report().write(store, EXPERIMENT, rows(), "SUCCEEDED").read_text()
    assert not list(store.rglob("curves*.png")) and "<table" in page


def test_a_value_that_one_row_alone_has_is_shown_there_and_missing_elsewhere(store):
    """Such as a group's or a lookalike's, whose names are in the key."""
    known = [{"group": around(0.5), f"group_lpips/00 {name}": around(0.25)} for name in ("anna", "otto")]
    more = [replace(r, metrics={**r.metrics, **own}) for r, own in zip(rows(), known)]
    asked = replace(EXPERIMENT, metrics=(*EXPERIMENT.metrics, Choice("group")))
    text = html.Report().write(store, asked, more, "SUCCEEDED").read_text()
    assert "<th>group_lpips/00 anna</th><th>group_lpips/00 otto</th>" in text
    assert "<td>0.250 ± 0.050</td><td>—</td>" in text and "<td>—</td><td>0.250 ± 0.050</td>" in text


def test_a_doubtful_surrogate_is_named_where_a_method_reads_it():
    near = (replace(SURROGATE, note="a near copy"),)
    two = [row("Ours", 0.2, 0.3, surrogates=near), row("SISS", 0.2, 0.3, method="siss", surrogates=near)]
    assert tables.doubts(two) == [("Ours", "a", "a near copy")]


ODD = ("$x_{$", "$y_{$ $5", "_hidden", "a|b `c`", "<b>d</b> *e*", "[f](g) _h_", "back\\slash\\")


def test_names_are_shown_letter_by_letter_in_figures_page_and_markdown(store, monkeypatch):
    from matplotlib.text import Text

    drawn, read = set(), Text._preprocess_math
    monkeypatch.setattr(Text, "_preprocess_math", lambda self, s: drawn.add(read(self, s)) or read(self, s))
    odd = [
        row(name, 0.1 + k / 20, 0.3 + k / 50, cell=f"c{k}", folder="cells/good") for k, name in enumerate(ODD)
    ]
    bad = failed("Bad | <i>", "no | <u> $x_{$")
    experiment = replace(EXPERIMENT, title="T | <s> *t*")
    page = html.Report().write(store, experiment, [*odd, bad], "FAILED").read_text()
    assert {(name, False) for name in ODD} <= drawn, drawn
    for name in (*ODD, bad.name, bad.error, experiment.title):
        assert str(escape(name)) in page
    lines = markdown.Report().write(store, experiment, [*odd, bad], "FAILED").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    plain = lambda text: re.sub(r"\\(.)", r"\1", text)
    cells = [re.split(r"(?<!\\)(?:\\\\)*\|", line) for line in table]
    assert {len(c) for c in cells} == {len(cells[0])}
    assert plain(lines[0]) == f"# {experiment.title}"
    text = "\n".join(map(plain, lines))
    assert all(f"| {name} |" in text for name in ODD) and f"| {bad.name} | no result: {bad.error} |" in text
    unescaped = re.sub(r"\\.", "", "\n".join(lines))
    assert (
        "<" not in unescaped.replace("SSCD < 0.4", "")
        and "`" not in unescaped
        and "_h" not in unescaped
        and "$" not in unescaped
    )


def test_the_page_says_how_images_were_drawn_and_on_which_timesteps_each_method_trained():
    from unpromptable.reporting.reports import html

    experiment = replace(EXPERIMENT, sampling=Sampling(steps=50))
    of = lambda name, low: row(name, 0.2, 0.3, settings={"training.t_min": low, "training.t_max": 999})
    text = html._drawn(experiment, [of("Ours", 0), of("NegGrad", 0), of("SISS", 999)])
    assert (
        "Sampled by ddim in 50 steps (SISS's code: by ddpm)" in text
        and "0..999: Ours, NegGrad; 999: SISS." in text
    )
    assert html._drawn(replace(EXPERIMENT, sampling=Sampling("ddpm", 5)), [of("Ours", 0)]).endswith(
        "(SISS's code: 999 alone): 0..999."
    )


def test_a_table_marks_what_the_papers_lacks_and_says_where_each_methods_settings_come_from(store):
    code = replace(rows()[1], origin="as its code does")
    tuned = [replace(r, origin="tuned on our stage") for r in (rows()[0], rows()[2])]
    found = [tuned[0], code, tuned[1]]
    lines = groups.collect(found, EXPERIMENT.paper)
    said = "Settings tuned on our stage: Good, Keeps; as its code does: Better."
    assert tables.origins(lines) == said and tables.origins(groups.collect(rows())) == ""
    text = markdown.Report().write(store, EXPERIMENT, found, "SUCCEEDED").read_text()
    page = html.Report().write(store, EXPERIMENT, found, "SUCCEEDED").read_text()
    assert said in text and said in page
    marked = re.findall(r"^\| (\w+) \*\(not in the paper\)\*", text, re.M)
    assert marked == re.findall(r"<td>(\w+) <span class=\"soft\">\(not in the paper\)", page)
    assert marked == ["Better", "Keeps"]
    nowhere = replace(EXPERIMENT, paper=())
    assert "not in the paper" not in markdown.page(store, nowhere, found, "SUCCEEDED")

"""Rows and lines: what a file holds is what is read from it, and written again, key by key."""

import json
from dataclasses import replace

import numpy as np
import pytest
from finished_run import failed, row
from hypothesis import given, settings
from hypothesis import strategies as some

from unpromptable.reporting import groups, tables
from unpromptable.reporting.row import Line, Row, Surrogate, read_rows, write_rows
from unpromptable.scoring.estimates import Estimate, estimate

FINISHED = {
    "name": "Ours",
    "line": "",
    "cell": "ours",
    "folder": "cells/ours-5a1b",
    "method": "surrogate",
    "editor": "paint",
    "networks": "miniature",
    "settings": {"model.name": "ddpm", "training.lr": 0.0001, "forget": "0004-3"},
    "run_id": "8f7c",
    "status": "done",
    "error": None,
    "again": ["unlearn: killed (attempt 1)"],
    "sscd": {"mean": 0.25, "low": 0.2, "high": 0.3, "n": 8},
    "fid_pre": {"mean": 4.5, "low": 4, "high": 5.0, "n": 256},
    "labels": {"sscd": "similarity"},
    "surrogates": [
        {
            "target": "0004-3",
            "sscd": 0.16,
            "lpips": 0.68,
            "rms": 75.3,
            "changed": 0.44,
            "closer": 0.04,
            "verdict": "fine",
            "note": "",
        }
    ],
    "seconds": {"unlearn": 2.31, "edit": 0.189},
    "inputs": {"data/real": "001a"},
}
HEAD = list(FINISHED)[:11]
FAILED = {
    **{k: FINISHED[k] for k in HEAD},
    "run_id": None,
    "status": "failed",
    "error": "unlearn: nan",
    "sscd": None,
    "fid_pre": None,
}
texts, numbers = some.text(max_size=8), some.floats(-1e6, 1e6)
estimates = some.builds(Estimate, numbers, numbers, numbers, some.integers(1, 999))
surrogates = some.builds(Surrogate, *[texts, *[numbers] * 5, texts, texts])
names = texts.filter(lambda t: t not in Line.__dataclass_fields__)
by_name = some.dictionaries(texts, numbers, max_size=3)
finished = some.builds(
    Row,
    status=some.just("done"),
    error=some.none(),
    line=some.sampled_from(["", "g"]),
    settings=some.dictionaries(some.sampled_from(["forget", "k"]), texts),
    metrics=some.dictionaries(names, estimates, max_size=3),
    again=some.lists(texts, max_size=2).map(tuple),
    labels=some.dictionaries(texts, texts, max_size=2),
    surrogates=some.lists(surrogates, max_size=2).map(tuple),
    seconds=by_name,
    inputs=some.dictionaries(texts, texts, max_size=2),
)
unfinished = some.builds(
    Row,
    status=some.sampled_from(["failed", "waiting"]),
    line=some.sampled_from(["", "g"]),
    settings=some.dictionaries(some.sampled_from(["forget", "k"]), texts),
    metrics=some.dictionaries(names, some.none(), max_size=3),
    again=some.lists(texts, max_size=2).map(tuple),
)


@pytest.mark.parametrize("told", [FINISHED, FAILED])
def test_a_row_is_written_as_it_was_read_key_by_key(told):
    assert json.dumps(Row.from_json(told).to_json()) == json.dumps(told)


@settings(max_examples=50, deadline=None)
@given(some.lists(some.one_of(finished, unfinished), max_size=4))
def test_any_rows_and_their_lines_come_back_from_json_as_they_were(rows):
    again = lambda kind, found: [
        kind.from_json(told) for told in json.loads(json.dumps([r.to_json() for r in found]))
    ]
    assert again(Row, rows) == rows
    lines = groups.collect(rows)
    assert again(Line, lines) == lines


def test_files_hold_a_row_as_an_object_with_its_metrics_among_its_keys(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([FINISHED, FAILED], indent=1))
    rows = read_rows(path)
    write_rows(tmp_path / "again.json", rows)
    assert (tmp_path / "again.json").read_text() == path.read_text()
    assert rows[0].done and rows[0].value("sscd").mean == 0.25 and rows[0].means()["fid_pre"] == 4.5
    assert not rows[1].done and rows[1].means() == {} and rows[1].surrogates == ()


def test_a_value_that_a_row_lacks_is_named_with_those_that_it_has():
    with pytest.raises(KeyError, match="Ours: no fid_kept; the row has sscd, fid_pre"):
        Row.from_json(FINISHED).value("fid_kept")
    with pytest.raises(KeyError, match="Ours: no sscd; the row has no numbers"):
        Row.from_json(FAILED).value("sscd")


@pytest.mark.parametrize("key", ["folder", "labels"])
def test_a_file_of_rows_that_lack_a_key_is_refused_with_its_name(tmp_path, key):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{k: v for k, v in FINISHED.items() if k != key}]))
    with pytest.raises(ValueError, match=f"rows.json: row 'Ours': no {key}; run the report again"):
        read_rows(path)


def test_a_line_of_cells_without_a_result_has_no_numbers_and_all_their_errors():
    two = [failed(n, e) for n, e in (("Ours a", "nan"), ("Ours b", "killed"))]
    (line,) = groups.collect(two)
    told = line.to_json()
    assert told["name"] == "Ours" and told["error"] == "nan; killed" and told["finished"] == 0
    assert told["seconds"] == {} and told["surrogates"] == [] and "labels" not in told
    assert list(told)[-5:] == ["members", "finished", "targets", "each", "paper"]


def test_a_line_is_the_mean_over_the_targets_that_finished():
    of = lambda t, lpips: row(f"Ours {t}", 0.2, lpips, line="Ours", settings={"forget": t})
    line, alone = groups.collect(
        [of("a", 0.1), of("b", 0.3), failed("Other", "nan")], [{"name": "Ours", "lpips": 0.2}]
    )
    assert line.members == ("Ours a", "Ours b") and line.targets == ("a", "b") and line.finished == 2
    assert line.value("lpips").mean == pytest.approx(0.2) and line.each["b"]["lpips"] == 0.3
    assert line.value("lpips").high - 0.2 == pytest.approx(12.706 * 0.1, rel=1e-3)  # t(1) times s/sqrt(2)
    assert line.paper == {"name": "Ours", "lpips": 0.2} and alone.paper is None


def seeded(target, seed, lpips, **given):
    """A row of one target and training seed."""
    told = {"forget": target, "training.seed": seed, "method": "surrogate"}
    return row(f"Ours seed {seed}, {target}", 0.2, lpips, line="Ours", settings=told, **given)


def test_a_line_over_targets_and_seeds_is_the_mean_over_targets_of_the_means_over_seeds():
    """Targets 0.2 and 0.6, deviation 0.2 * sqrt(2); a has two seeds, b three."""
    values = {("a", 0): 0.1, ("a", 1): 0.3, ("b", 0): 0.5, ("b", 1): 0.6, ("b", 2): 0.7}
    (line,) = groups.collect([seeded(*where, lpips) for where, lpips in values.items()])
    lpips = line.value("lpips")
    assert (lpips.mean, lpips.n) == (pytest.approx(0.4), 2) and line.finished == 5
    assert lpips.high - 0.4 == pytest.approx(12.706 * 0.2, rel=1e-3)
    assert line.each["a"]["lpips"] == pytest.approx(0.2) and list(line.each) == ["a", "b"]
    assert line.by_seed["b"]["2"]["lpips"] == 0.7 and list(line.by_seed["a"]) == ["0", "1"]
    assert Line.from_json(json.loads(json.dumps(line.to_json()))) == line


def test_one_seed_per_target_leaves_a_line_as_it_was():
    (line,) = groups.collect([seeded("a", 0, 0.1), seeded("b", 0, 0.3), seeded("c", 0, 0.7)])
    assert line.metrics["lpips"] == estimate(np.array([0.1, 0.3, 0.7]))
    assert line.by_seed == {} and "by_seed" not in line.to_json()


def test_seeds_of_a_single_target_are_a_line_with_an_interval_over_seeds():
    (line,) = groups.collect([seeded("a", 0, 0.1), seeded("a", 1, 0.3)])
    assert line.value("lpips").high - 0.2 == pytest.approx(12.706 * 0.1, rel=1e-3)
    assert tables.spread([line]) == ("2 training seeds", "the training seeds of one target")
    other = replace(seeded("b", 0, 0.0), status="failed", metrics={"lpips": None})
    (two,) = groups.collect([seeded("a", 0, 0.1), seeded("a", 1, 0.3), other])
    assert two.value("lpips") == Estimate(pytest.approx(0.2), None, None, 1)


def test_what_a_line_is_over_is_said_in_words():
    over = lambda *rows: tables.spread(groups.collect(rows))
    one, other = seeded("a", 0, 0.1), seeded("b", 0, 0.3)
    assert over(one, other) == ("2 targets", "them")
    more = seeded("a", 1, 0.2), seeded("b", 1, 0.2)
    assert over(one, other, *more) == ("2 targets of 2 training seeds each", "the targets")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"sscd": {"mean": 1.0}}, "sscd.low is missing"),
        ({"sscd": {**FINISHED["sscd"], "mean": "0.25"}}, "sscd.mean is '0.25'; it must be a number"),
        ({"sscd": {**FINISHED["sscd"], "more": 1}}, "more"),
        ({"sscd": [1]}, "sscd"),
        ({"settings": "x"}, "settings is 'x'; give a mapping"),
        ({"surrogates": [{"target": "a"}]}, "surrogates"),
        ({"name": None}, "name is None"),
        ({"seconds": {"unlearn": None}}, "seconds.unlearn is None"),
    ],
)
def test_a_row_that_is_spoilt_is_refused_in_one_line_that_names_its_key(tmp_path, change, words):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{**FINISHED, **change}]))
    with pytest.raises(ValueError, match="rows.json: row ") as caught:
        read_rows(path)
    assert type(caught.value) is ValueError and words in str(caught.value) and "\n" not in str(caught.value)
    assert "run the report again" in str(caught.value)


@pytest.mark.parametrize("content", [b"{}", b"[5]", b"[[]]", b"\xff", b"[" * 100_000])
def test_a_file_without_rows_is_refused_by_name(tmp_path, content):
    (tmp_path / "rows.json").write_bytes(content)
    with pytest.raises(ValueError, match="rows.json: ") as caught:
        read_rows(tmp_path / "rows.json")
    assert type(caught.value) is ValueError


def test_a_line_of_which_some_did_not_forget_is_compared_by_all_of_them():
    """Those that were sampled are those that forgot: to compare by them would choose by the outcome."""
    kept = replace(seeded("b", 0, 0.3), status="unsampled", metrics={"sscd": estimate([0.9, 0.95])})
    (line,) = groups.collect([seeded("a", 0, 0.1), kept])
    assert line.value("sscd").mean == pytest.approx(np.mean([0.2, 0.925]))
    assert line.each == {"a": {"sscd": 0.2}, "b": {"sscd": pytest.approx(0.925)}}
    (line,) = groups.collect(
        [seeded("a", 0, 0.1), seeded("a", 1, 0.1), replace(kept, settings=seeded("a", 2, 0).settings)]
    )
    assert list(line.by_seed["a"]) == ["0", "1", "2"] and list(line.by_seed["a"]["0"]) == ["sscd"]

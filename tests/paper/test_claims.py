"""Claims hold, fail or stay open as their numbers and intervals say, and every claim agrees with the paper's
own table.
"""

import importlib
import json
import re
from dataclasses import replace

import finished_run
import pytest

from unpromptable.paper import claims, comparing
from unpromptable.paper.claims import HOLDS, NOT, OPEN
from unpromptable.paper.comparing import Result
from unpromptable.planning import plan
from unpromptable.reporting.row import write_rows
from unpromptable.scoring.estimates import Estimate


def row(name, half=0.01, each=None, **values):
    return Result(name, {k: Estimate(v, v - half, v + half, 9) for k, v in values.items()}, each=each or {})


def answer(found, **claim):
    given = {"id": "c", "says": "", "metrics": ("lpips",), **claim}
    return claims.judge(claims.Claim(**given), found).answer


def test_a_limit_is_crossed_only_with_the_whole_interval():
    rows = [row("a", sscd=0.3), row("b", sscd=0.395), row("c", sscd=0.5)]
    one = lambda check, name: answer(rows, check=check, limit=0.4, metrics=("sscd",), rows=(name,))
    assert [one("below", n) for n in "abc"] == [HOLDS, OPEN, NOT] and [one("above", n) for n in "abc"] == [
        NOT,
        OPEN,
        HOLDS,
    ]
    assert answer(rows, check="below", limit=0.4, metrics=("sscd",), rows=("a", "b")) == OPEN


def test_a_limit_may_be_a_share_of_what_the_rows_own_base_model_has():
    asked = {"check": "below", "limit": 0.2, "of": "before", "metrics": ("wrong",), "rows": ("a",)}
    one = lambda before: answer([row("a", half=0.001, wrong=0.02, wrong_before=before)], **asked)
    assert (one(0.125), one(0.05), answer([row("a", wrong=0.02)], **asked)) == (HOLDS, NOT, OPEN)
    with pytest.raises(ValueError, match="of is 'after'"):
        claims.Claim("c", "", "below", ("wrong",), ("a",), of="after")


@pytest.mark.parametrize(
    "check, metric, a, b, expected",
    [
        ("better", "lpips", 0.1, 0.2, HOLDS),
        ("better", "lpips", 0.2, 0.1, NOT),
        ("better", "lpips", 0.1, 0.11, OPEN),
        ("better", "ssim", 0.2, 0.1, HOLDS),
        ("better", "sscd", 0.1, 0.2, HOLDS),
        ("worst", "fid_pre", 9.0, 2.0, HOLDS),
        ("best", "fid_real", 9.0, 2.0, NOT),
    ],
)
def test_which_value_is_better_depends_on_the_metric(check, metric, a, b, expected):
    assert (
        answer(
            [row("a", **{metric: a}), row("b", **{metric: b})],
            check=check,
            metrics=(metric,),
            rows=("a",),
            than=("b",) if check == "better" else (),
        )
        == expected
    )


def test_rows_with_the_same_targets_are_compared_target_by_target():
    """a is 0.01 below b at each of three very different targets: no interval of the means could tell."""
    each = lambda shift: {
        str(i): {"lpips": v + shift + e} for i, (v, e) in enumerate(((0.1, 0.0), (0.5, 0.001), (0.9, -0.001)))
    }
    a, b = (row(n, half=1.0, lpips=v, each=each(v - 0.5)) for n, v in (("a", 0.49), ("b", 0.5)))
    b = replace(b, each={k: {"lpips": v["lpips"] + 0.001 * (int(k) - 1)} for k, v in b.each.items()})
    alone = [replace(r, each={}) for r in (a, b)]
    ask = {"check": "better", "rows": ("a",), "than": ("b",)}
    assert (
        answer([a, b], **ask) == HOLDS
        and answer([b, a], **{**ask, "rows": ("b",), "than": ("a",)}) == NOT
        and answer(alone, **ask) == OPEN
    )
    assert answer([a, b], check="alike", within=0.05, rows=("a", "b")) == HOLDS


def test_a_mean_of_one_target_alone_has_no_interval_and_cannot_be_told():
    alone = Result("a", {"lpips": Estimate(0.1, None, None, 1)})
    pair = [alone, row("b", lpips=0.9)]
    assert answer(pair, check="better", rows=("a",), than=("b",)) == OPEN
    assert answer(pair, check="alike", within=0.1, rows=("a", "b")) == OPEN
    assert answer(pair, check="below", limit=0.4, rows=("a",)) == OPEN


def test_the_best_of_those_that_forget_leaves_out_those_that_do_not():
    rows = [
        row("Ours", sscd=0.2, lpips=0.3),
        row("Naive", sscd=0.9, lpips=0.1),
        row("Other", sscd=0.3, lpips=0.5),
    ]
    one = lambda name, among: answer(rows, check="best", among=among, rows=(name,))
    assert (
        one("Ours", "forgetting") == HOLDS and one("Ours", "all") == NOT and one("Naive", "forgetting") == NOT
    )


@pytest.mark.parametrize(
    "values, expected",
    [
        ((1, 2, 3, 4, 5), HOLDS),
        ((1, 2, 3, 5, 4), HOLDS),
        ((5, 4, 3, 2, 1), NOT),
        ((3, 1, 4, 2, 5), OPEN),
        ((1, 2, 3), OPEN),
    ],
)
def test_a_trend_needs_a_rank_correlation_beyond_chance(values, expected):
    rows = [row(str(i), lpips=v) for i, v in enumerate(values)]
    names = tuple(r.name for r in rows)
    assert answer(rows, check="rises", rows=names) == expected
    assert answer(rows[::-1], check="falls", rows=names[::-1]) == expected


@pytest.mark.parametrize("b, expected", [(1.02, HOLDS), (1.5, NOT), (1.095, OPEN)])
def test_alike_means_closer_than_the_margin(b, expected):
    assert (
        answer([row("a", lpips=1.0), row("b", lpips=b)], check="alike", within=0.1, rows=("a", "b"))
        == expected
    )


def test_a_front_has_no_row_that_another_beats_in_everything():
    rows = [
        row("a", sscd=0.1, lpips=0.5),
        row("b", sscd=0.2, lpips=0.3),
        row("c", sscd=0.3, lpips=0.1),
        row("kept", sscd=0.9, lpips=0.0),
    ]
    one = lambda rows: answer(
        rows, check="front", metrics=("sscd", "lpips"), rows=tuple(r.name for r in rows)
    )
    assert one(rows) == HOLDS
    assert one([*rows, row("d", sscd=0.35, lpips=0.4)]) == NOT


def test_a_missing_or_failed_row_leaves_a_claim_open_and_says_so():
    claim = claims.Claim("c", "", "better", ("lpips",), ("a",), ("b",))
    verdict = claims.judge(claim, [row("a", lpips=0.1), Result("b", {}, done=False)])
    assert verdict.answer == OPEN and verdict.numbers == "no result of b"


def test_a_claim_with_a_wrong_word_is_refused():
    with pytest.raises(ValueError, match="claim c: no check 'bst'; choose from below, above, best"):
        claims.Claim("c", "", "bst", ("lpips",), ("a",))


def test_printed_digits_become_intervals():
    flip, edit = comparing.of_paper(
        [{"name": "Flip", "sscd": 0.40, "fid_pre": 9.8}, {"name": "Edit", "sscd": 0.35, "fid_pre": 18.0}]
    )
    assert (
        flip.value("sscd").low == pytest.approx(0.395)
        and flip.value("sscd").high == pytest.approx(0.405)
        and edit.value("fid_pre").high == pytest.approx(18.05)
    )


def test_ids_are_unique_and_rows_are_the_papers():
    found = claims.read()
    ids = [c.id for part in found.values() for c in part]
    assert len(ids) == len(set(ids)) and len(ids) >= 24
    for name, part in found.items():
        given = {} if name == "theory" else plan.read_yaml(name)
        rows = {str(r["name"]) for r in given.get("paper") or given.get("cells", [])} or {
            c.rows[0] for c in part
        }
        assert {n for c in part for n in (*c.rows, *c.than)} <= rows, name


def test_every_claim_agrees_with_the_papers_own_numbers():
    for verdict in claims.of_paper():
        assert verdict.answer == verdict.claim.paper, (verdict.claim.id, verdict.numbers)
        assert verdict.answer == HOLDS or verdict.claim.note, (
            f"{verdict.claim.id}: say why the paper's own numbers do not carry it"
        )


def test_every_finding_names_the_cells_that_show_it_or_is_a_matter_of_how_many_were_measured():
    lines = lambda name: {c.group or c.name for c in plan.resolve(name, "miniature", inputs=False).cells}
    why, shown = lines("why"), set()
    for name, part in claims.read().items():
        own = {c.rows[0] for c in part} if name == "theory" else lines(name)
        assert not own & why, "a cell's name says whose it is"
        for claim in part:
            numbers = re.search("number of (targets|images)", claim.finding)
            assert bool(claim.finding) >= bool(claim.shown) and set(claim.shown) <= own | why, claim.id
            assert not claim.finding or claim.shown or numbers, f"{claim.id}: what shows it?"
            shown |= set(claim.shown)
    assert why <= shown, "cells that show nothing"


def test_every_experiment_of_the_cells_named_by_the_paper_has_them():
    for name in claims.read():
        if name != "theory":
            for world in ("miniature", "paper"):
                cells = plan.resolve(name, world, {}, inputs=False).cells
                assert {c.group or c.name for c in cells} >= {
                    str(r["name"]) for r in plan.read_yaml(name).get("paper", [])
                }, (name, world)


def test_runs_are_judged_by_the_command(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "experiment.json").write_text(json.dumps({"name": "table4", "paper": []}))
    rows = [
        finished_run.row(name, 0.3, lpips, settings={"method.projection": name})
        for name, lpips in (("no projection", 0.3), ("project g_f", 0.2), ("project g_f, g_r", 0.4))
    ]
    write_rows(tmp_path / "run" / "rows.json", rows)
    assert claims.main([str(tmp_path / "run"), "--out", str(tmp_path)]) == 0
    found = {v["id"]: v["answer"] for v in json.loads((tmp_path / "claims.json").read_text())}
    assert found["t4-both-worse"] == HOLDS and found["t4-small"] == NOT and found["t2-sscd"] == OPEN
    assert "claims" in capsys.readouterr().out and "no result of Ours" in (tmp_path / "claims.md").read_text()


@pytest.mark.parametrize("printed, expected", [(["Ours", "Ours†"], HOLDS), ([], NOT)])
def test_a_row_that_the_papers_table_lacks_makes_and_breaks_no_claim(tmp_path, printed, expected):
    told = {"name": "table1", "paper": [{"name": n, "lpips": 0.3} for n in printed]}
    (tmp_path / "experiment.json").write_text(json.dumps(told))
    better = {"ReTrack": 0.1, "Ours": 0.3, "Ours†": 0.5}
    rows = [finished_run.row(n, 0.3, lpips, settings={"method": n}) for n, lpips in better.items()]
    write_rows(tmp_path / "rows.json", rows)
    assert {v.claim.id: v.answer for v in claims.of_runs([tmp_path])}["t1-lpips"] == expected


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["nowhere"],
            (
                "nowhere: holds no run's experiment.json and rows.json, nor theory.json; name a finished"
                " run's folder"
            ),
        ),
        (["--paper", "--out", ""], "argument --out: is empty; name a folder"),
    ],
)
def test_a_folder_without_a_run_or_without_a_name_is_refused_in_a_line(
    tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        claims.main(words)
    assert (
        ended.value.code == 2
        and capsys.readouterr().err.endswith(f"error: {message}\n")
        and not list(tmp_path.iterdir())
    )


@pytest.mark.parametrize(
    "name", ["paper.theory", "pretraining.portraits_ddpm", "pretraining.flags_sd3", "pretraining.command"]
)
def test_every_command_that_writes_refuses_a_folder_without_a_name(tmp_path, monkeypatch, capsys, name):
    module = importlib.import_module(f"unpromptable.{name}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["x", "--out", ""])
    with pytest.raises(SystemExit) as ended:
        module.command("x", None, 1) if name == "pretraining.command" else module.main()
    assert ended.value.code == 2 and "argument --out: is empty" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_where_nothing_else_forgets_there_is_nothing_to_be_best_of():
    kept = row("Flip", sscd=0.9, lpips=0.1)
    best = claims.Claim("c", "", "best", ("lpips",), ("Edit",), among="forgetting")
    found = claims.judge(best, [row("Edit", sscd=0.2, lpips=0.5), kept])
    assert found.answer == OPEN and found.needs.text == "another that forgets: there is none to compare with"
    front = claims.Claim("c", "", "front", ("sscd", "lpips"), ("Edit", "Flip"))
    assert claims.judge(front, [row("Edit", sscd=0.2, lpips=0.5), kept]).answer == OPEN


def test_the_worst_is_open_while_a_row_has_no_number():
    rows = [row("NegGrad", lpips=0.9), row("SISS", lpips=0.1)]
    assert answer(rows, check="worst", rows=("NegGrad",)) == HOLDS
    claim = claims.Claim("c", "", "worst", ("lpips",), ("NegGrad",))
    found = claims.judge(claim, [*rows, Result("EraseDiff", {}, done=False)])
    assert found.answer == OPEN and found.numbers == "no result of EraseDiff"


def test_one_that_does_not_forget_need_not_be_drawn_for_the_best_of_those_that_do():
    rows = [row("Ours", sscd=0.2, lpips=0.1), row("Other", sscd=0.2, lpips=0.5), row("Kept", sscd=0.9)]
    assert answer(rows, check="best", among="forgetting", rows=("Ours",)) == HOLDS
    assert answer(rows, check="best", rows=("Ours",)) == OPEN

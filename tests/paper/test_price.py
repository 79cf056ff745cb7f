"""How many targets, images or settings would decide an open claim, by hand."""

import math

import pytest
from scipy.stats import t

from unpromptable.paper import claims, comparing, price
from unpromptable.paper.comparing import Compared, Result
from unpromptable.paper.price import needed
from unpromptable.scoring.estimates import Estimate


def told(gap, half, n, over, answer=None):
    return Compared(answer, gap, half, n, over)


def test_images_grow_with_the_square_of_the_interval():
    """An interval of 0.2 and a difference of 0.1: four times 96."""
    assert needed(told(0.1, 0.2, 96, "images")) == 384 == needed(told(-0.1, 0.2, 96, "images"))
    assert needed(told(1e-5, 0.2, 96, "images")) is None


def test_targets_take_students_quantile_along():
    """Deviation 1 over 3 targets: half 2.484. A difference of 1 needs t(n-1)/sqrt(n) <= 1: 7 targets, by
    t(6) = 2.447 and sqrt(7) = 2.646; at 6 it is 2.571/2.449.
    """
    half = 4.302653 / math.sqrt(3)
    assert needed(told(1.0, half, 3, "targets")) == 7 == needed(told(-1.0, half, 3, "training seeds"))
    seven = t.ppf(0.975, 6) / math.sqrt(7)
    assert seven <= 1 < t.ppf(0.975, 5) / math.sqrt(6)


def test_no_difference_is_told_by_no_number():
    nothing = price.of(told(0.0, 0.1, 3, "targets"), [])
    assert nothing.text == "no number of targets below 1,000 would tell" and nothing.number is None
    assert needed(told(1e-6, 0.1, 3, "targets")) is None


def test_one_target_alone_needs_another():
    assert price.of(told(0.1, math.inf, 1, "targets"), []).text == "at least 2 targets instead of 1"


def test_a_trend_needs_what_its_exact_test_does():
    """Of 4 orders of 24 one has the correlation 1: 1/24 < 0.05. Of 3 it is 1/6. Of 5, 0.9 is reached by 5 of
    120, of 7 the tables say 0.714.
    """
    critical = [comparing.beyond_chance(k) for k in (3, 4, 5, 7)]
    assert critical == pytest.approx([math.inf, 1.0, 0.9, 0.714], abs=5e-4)
    assert needed(comparing.rises([1, 2, 3])) == 4
    seen = comparing.rises([3, 1, 4, 2, 5])  # ranks correlate by 0.5
    assert seen.answer is None and seen.gap == pytest.approx(0.5)
    assert comparing.beyond_chance(11) > 0.5 >= comparing.beyond_chance(12) and needed(seen) == 12
    text = price.of(seen, []).text
    assert (
        text
        == "a rank correlation of 0.90 over these 5 settings (0.50 was seen), or 0.50 over more: 12 settings"
        " instead of 5"
    )


def test_what_speaks_against_decides_first_and_else_the_last_of_all():
    near, far = told(0.1, 0.2, 96, "images"), told(0.1, 0.4, 96, "images")
    against = told(-0.1, 0.3, 96, "images")
    assert comparing.all_of([near, far]) == far and comparing.all_of([near, against, far]) == against
    assert comparing.all_of([near, told(0, 0, 1, "", answer=False)]).answer is False
    assert comparing.all_of([told(0, 0, 1, "", answer=True)]).answer is True


def result(name, lpips, half=0.02, seconds=None, over=""):
    found = {"lpips": Estimate(lpips, lpips - half, lpips + half, 96)}
    return Result(name, found, over=over, seconds=seconds or {})


def ask(found, **claim):
    return claims.judge(claims.Claim(**{"id": "c", "says": "", "metrics": ("lpips",), **claim}), found)


def test_an_open_claim_says_its_price_and_a_closed_one_has_none():
    """0.01 apart; halves of 0.02 in quadrature are 0.0283, so 8 times 96 images. 7 times the 120 seconds of
    drawing them, two steps at a time: 7 minutes.
    """
    seconds = {"unlearn": 300.0, "sample": 40.0, "score": 20.0}
    pair = [result(n, v, seconds=seconds) for n, v in (("a", 0.10), ("b", 0.11))]
    verdict = ask(pair, check="better", rows=("a",), than=("b",))
    assert verdict.answer == claims.OPEN and verdict.needs.number == 768 and verdict.needs.now == 96
    assert verdict.needs.minutes == pytest.approx(7.0)
    assert verdict.needs.text == "768 images instead of 96, about 7 more minutes of two cores"
    assert ask([pair[0], result("b", 0.9)], check="better", rows=("a",), than=("b",)).needs is None


def test_more_targets_cost_every_step():
    pair = [result(n, 0.1, seconds={"unlearn": 300.0, "score": 60.0}, over="targets") for n in "ab"]
    assert pair[0].minutes("targets") == 3.0 and pair[0].minutes("images") == 0.5
    many = price.of(told(1.0, 4.302653 / math.sqrt(3), 3, "targets"), pair)
    assert many.minutes == pytest.approx(6.0 * (7 / 3 - 1))
    assert many.text == "7 targets instead of 3, about 8 more minutes of two cores"


def test_limits_and_margins_have_a_distance_too():
    row = result("a", 0.38, half=0.04)
    assert comparing.below(row, "lpips", 0.4)[1:4] == pytest.approx((0.02, 0.04, 96))
    assert comparing.above(row, "lpips", 0.4)[1:4] == pytest.approx((-0.02, 0.04, 96))
    alike = comparing.alike(result("a", 1.0, 0.03), result("b", 1.06, 0.04), "lpips", 0.1)
    assert alike[1:4] == pytest.approx((0.04, 0.05, 96)) and alike.answer is None


def test_a_front_is_decided_where_the_nearest_metric_tells():
    """b may beat a: better in LPIPS beyond doubt, worse in SSCD by 0.01 of 0.0283."""
    of = lambda v, half, n: Estimate(v, v - half, v + half, n)
    both = lambda name, sscd, lpips: Result(name, {"sscd": of(sscd, 0.02, 8), "lpips": of(lpips, 0.0, 96)})
    found = [both("a", 0.20, 0.5), both("b", 0.21, 0.1)]
    verdict = ask(found, check="front", rows=("a", "b"), metrics=("sscd", "lpips"))
    assert verdict.answer == claims.OPEN and (verdict.needs.number, verdict.needs.of) == (47, "noise draws")


def test_pairs_are_by_target_and_seed_then_by_target():
    """Target x: differences 1 and 3, y: 6; z has no common seed."""
    each = lambda by: {k: {"lpips": sum(v.values()) / len(v)} for k, v in by.items()}
    made = lambda name, by: Result(
        name,
        {"lpips": Estimate(0.0, -1.0, 1.0, 2)},
        each=each(by),
        by_seed={k: {s: {"lpips": v} for s, v in of.items()} for k, of in by.items()},
        over="targets",
    )
    a = made("a", {"x": {"0": 2.0, "1": 5.0, "2": 99.0}, "y": {"0": 7.0}, "z": {"0": 50.0}})
    b = made("b", {"x": {"0": 1.0, "1": 2.0}, "y": {"0": 1.0}, "z": {"1": 0.0}})
    found = comparing.difference(a, b, "lpips")
    assert (found.apart, found.n) == (pytest.approx(4.0), 2)
    assert found.half == pytest.approx(12.706 * 2.0, rel=1e-3)


def test_the_papers_digits_have_no_price_but_more_digits():
    open_ = [v for v in claims.of_paper() if v.answer == claims.OPEN and "no result" not in v.numbers]
    assert open_ and {v.needs.text for v in open_} == {"more printed digits"}

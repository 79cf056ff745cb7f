"""What is tried next, after what failed and why."""

import dataclasses

import pytest
from release_rows import BOUNDS, row

from unpromptable.releasing import attempts, gates
from unpromptable.scoring.estimates import Estimate


def tried(**sscd):
    """What the gates say of attempts of these SSCDs, by names such as `remember_x4`."""
    return {
        k.replace("_x", " x"): gates.judged(row(k.replace("_x", " x"), *given), BOUNDS)
        for k, given in ((k, v if isinstance(v, tuple) else (v,)) for k, v in sscd.items())
    }


def test_an_editor_is_tried_ever_more_strongly_and_then_the_next(asked):
    name = lambda **sscd: (attempts.following(asked, tried(**sscd)) or {}).get("name")
    assert name() == "lookalike x1" and name(lookalike_x1=0.6) == "lookalike x4"
    one = {"lookalike_x1": 0.6, "lookalike_x4": 0.5, "lookalike_x8": 0.45}
    assert name(**one) == "neighbours x1" and name(**one, neighbours_x1=0.5) == "neighbours x4"
    two = {**one, "neighbours_x1": 0.5, "neighbours_x4": 0.5, "neighbours_x8": 0.5}
    assert attempts.following(asked, tried(**two)) is None  # six were allowed
    all_ = dataclasses.replace(asked, editors=("lookalike",))
    assert attempts.following(all_, tried(**one)) is None


def test_what_already_costs_too_much_or_failed_is_not_tried_more_strongly(asked):
    lost = [f for f in gates.judged(row("a", 0.6), BOUNDS) if f.metric != "lpips"]
    lost.append(gates.finding("lpips", 0.4, Estimate(0.6, 0.5, 0.7, 8)))
    for found in (lost, []):
        assert attempts.following(asked, {"lookalike x1": found})["name"] == "neighbours x1"


def test_where_only_an_earlier_target_came_back_by_little_less_strength_is_added(asked):
    again = dataclasses.replace(asked, settings={"training.held": "held.safetensors"})
    by = lambda much: gates.Finding("earlier request 1", 0.4, 0.4 + much, 0.4, 0.4, 0.4 + much, 8, much < 0)
    gone, left = (gates.judged(row("a", sscd), BOUNDS) for sscd in (0.2, 0.6))
    beta, usual, more = attempts.BETA["paper"], attempts.REVISIT, attempts.REVISIT_MORE

    def following(*found):
        tried = dict(zip(("lookalike x1", "lookalike x2"), found))
        cell = attempts.following(again, tried)
        return cell["name"], cell["method"]["beta"], cell["training"]["revisit"]

    assert following() == ("lookalike x1", beta, usual)
    for much in (0.0, 0.03):  # to be at a gate is not to be below it
        little = [*gone, by(-0.1), by(much)]
        assert following(little) == ("lookalike x2", 2 * beta, more)
    assert following(little, left) == ("lookalike x8", 8 * beta, more)
    for found in ([*gone, by(0.03), by(0.2)], [*left, by(0.03)]):
        assert following(found) == ("lookalike x4", 4 * beta, more)
    assert following(left) == ("lookalike x4", 4 * beta, usual)


def test_hand_made_surrogates_come_first_and_several_targets_are_gone_back_to(asked):
    painted = attempts.following(dataclasses.replace(asked, surrogates="/painted"), {})
    assert painted["editor"] == {"name": "paint", "folder": "/painted"}
    wanted = {
        "steps": attempts.STEPS["paper"],
        "until": pytest.approx(0.3),
        "lookalikes": attempts.LOOKALIKES,
    }
    assert painted["training"] == {**wanted, "revisit": attempts.REVISIT}
    one = attempts.following(dataclasses.replace(asked, forget=asked.forget[:1], gates={"sscd": 0.3}), {})
    assert one["training"] == {**wanted, "until": pytest.approx(0.225)}


def test_the_best_of_attempts_that_fail_misses_the_fewest_gates():
    found = {r.name: gates.judged(r, BOUNDS) for r in (row("a", 0.5), row("b", 0.45), row("c", 0.3, 0.9))}
    assert gates.best({k: found[k] for k in "ab"}) == "b"
    assert gates.best(found) == "c"

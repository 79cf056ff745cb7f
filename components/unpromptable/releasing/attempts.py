"""What is tried until the gates hold: one kind of surrogate after the other, each ever more strongly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unpromptable.planning import plan, reading
from unpromptable.scoring.verdict import THRESHOLD

from . import gates
from .request import Request

EDITORS = ("lookalike", "neighbours", "remember", "sdedit")  # that need no hands, the most promising first
STRENGTHS = (1, 4, 8)  # times the world's beta, the weight of forgetting per thousandth
BETA = {"miniature": 1e-4, "paper": 5e-5}  # of the worlds
# Updates that a target may take, half of them at the full rate. Where nothing is forgotten by then, more
# updates bring the target back rather than remove it (0.39 after 100, 0.55 after 180): more strength is asked
# for.
STEPS = {"miniature": 200, "paper": 300}
# share of the gate on SSCD at which a training ends, so that what comes back while the rate falls (0.05, as
# seen) and the finer test leave it below
UNTIL = 0.75
# of the remember images; without it a person of the miniature world who looks like a target is forgotten with
# it (0.36), with it stays (0.98), for LPIPS 0.106 instead of 0.092
LOOKALIKES = 0.25
REVISIT = 0.5  # of a batch, so that earlier targets stay gone while later ones are forgotten


def first(asked: Request) -> dict[str, Any]:
    """The cell that is tried first."""
    cell = following(asked, {})
    assert cell is not None  # a budget is at least 1
    return cell


def following(asked: Request, tried: Mapping[str, list[gates.Finding]]) -> dict[str, Any] | None:
    """The next cell to try, as the YAML of an experiment has it; None where the budget or the ideas end.

    tried: what the gates said of the attempts so far, by their names, in their order; nothing of one that
    failed.
    """
    if len(tried) >= asked.attempts:
        return None
    for editor in _editors(asked):
        for strength in STRENGTHS:
            name = _name(editor, strength)
            if name not in tried:
                return _cell(asked, editor, strength)
            if not tried[name] or not gates.keeps(tried[name]):
                break  # more strength costs more of the rest, so it helps where forgetting alone is short
    return None


def _editors(asked: Request) -> list[dict[str, Any]]:
    """Those that are tried, hand-made surrogates first."""
    painted = [{"name": "paint", "folder": asked.surrogates}] if asked.surrogates else []
    return painted + [{"name": name} for name in asked.editors or EDITORS]


def _name(editor: dict[str, Any], strength: int) -> str:
    return f"{editor['name']} x{strength}"


def _cell(asked: Request, editor: dict[str, Any], strength: int) -> dict[str, Any]:
    until = max(min(asked.gates.get("sscd", THRESHOLD), THRESHOLD), 0.0)  # 0 takes all updates
    several = {"revisit": REVISIT} if len(asked.forget) > 1 else {}
    return {
        "name": _name(editor, strength),
        "method": {"name": "surrogate", "beta": BETA[asked.world] * strength},
        "editor": editor,
        "training": {
            "steps": STEPS[asked.world],
            "until": round(until * UNTIL, 4),
            "lookalikes": LOOKALIKES,
            **several,
        },
    }


def check(asked: Request, inputs: bool = True) -> plan.Plan:
    """The first attempt as it is planned. Raises ValueError or FileNotFoundError where it cannot be.

    inputs: look at its files; without, they are of another machine.
    """
    return plan.resolve(reading.write(asked.experiment([first(asked)])), asked.world, asked.settings, inputs)

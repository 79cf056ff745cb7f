"""What is tried until the gates hold: one kind of surrogate after the other, each ever more strongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unpromptable.planning import plan, reading
from unpromptable.scoring.verdict import THRESHOLD

from . import gates
from .request import Request

EDITORS = ("lookalike", "neighbours", "remember", "sdedit")  # that need no hands, the most promising first
# times the world's beta, the weight of forgetting per thousandth
MOST = 8
STRONGER = 4
# where the target is gone and an earlier request's came back by less than NEAR: enough there, and it costs
# less of the rest (LPIPS 0.04 instead of 0.13 of a fifth request in the miniature world)
STRONGER_BY_LITTLE, NEAR = 2, 0.05
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
# once an earlier one came back; at four times the strength it keeps more too (LPIPS 0.08 instead of 0.10)
REVISIT_MORE = 0.75


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
        step: Step | None = Step()
        while step:
            name = f"{editor['name']} x{step.strength}"
            if name not in tried:
                return _cell(asked, name, editor, step)
            step = step.after(tried[name])
    return None


@dataclass(frozen=True)
class Step:
    """How strongly an editor is tried, and how often it goes back to earlier targets, where there are any."""

    strength: int = 1  # times the world's beta
    revisit: float = REVISIT  # share of a batch

    def after(self, found: Sequence[gates.Finding]) -> Step | None:
        """The editor's next step by what the gates said of this one; None where more strength would not help:
        it costs more of what is kept, so it is for attempts that are short of forgetting alone.
        """
        if not found or not gates.keeps(found) or self.strength == MOST:
            return None
        back = gates.back(found)
        little = back is not None and back < NEAR and gates.forgets(found)
        strength = self.strength * (STRONGER_BY_LITTLE if little else STRONGER)
        return Step(min(strength, MOST), self.revisit if back is None else REVISIT_MORE)


def _editors(asked: Request) -> list[dict[str, Any]]:
    """Those that are tried, hand-made surrogates first."""
    painted = [{"name": "paint", "folder": asked.surrogates}] if asked.surrogates else []
    return painted + [{"name": name} for name in asked.editors or EDITORS]


def _cell(asked: Request, name: str, editor: dict[str, Any], step: Step) -> dict[str, Any]:
    until = max(min(asked.gates.get("sscd", THRESHOLD), THRESHOLD), 0.0)  # 0 takes all updates
    several = len(asked.forget) > 1 or "training.held" in asked.settings
    return {
        "name": name,
        "method": {"name": "surrogate", "beta": BETA[asked.world] * step.strength},
        "editor": editor,
        "training": {
            "steps": STEPS[asked.world],
            "until": round(until * UNTIL, 4),
            "lookalikes": LOOKALIKES,
            **({"revisit": step.revisit} if several else {}),
        },
    }


def check(asked: Request, inputs: bool = True) -> plan.Plan:
    """The first attempt as it is planned. Raises ValueError or FileNotFoundError where it cannot be.

    inputs: look at its files; without, they are of another machine.
    """
    return plan.resolve(reading.write(asked.experiment([first(asked)])), asked.world, asked.settings, inputs)

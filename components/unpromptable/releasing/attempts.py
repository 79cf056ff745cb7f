"""What is tried until the gates hold: surrogates from the least work on, each more and more strongly."""

from __future__ import annotations

from typing import Any

from unpromptable.planning import plan, reading

from .request import Request

EDITORS = ("neighbours", "remember", "sdedit")  # that need no hands, from what keeps most on
STRENGTHS = (1, 4, 10)  # times the world's beta, the weight of forgetting per thousandth
BETA = {"miniature": 1e-4, "paper": 5e-5}  # of the worlds
LARGEST = 1e-3  # beta above which lambda(t) would be negative
UNTIL = 0.9  # share of the gate on SSCD at which a training ends, so that the finer test also holds


def of(asked: Request) -> list[dict[str, Any]]:
    """The cells to try, as the YAML of an experiment has them, at most `asked.attempts`."""
    editors: list[dict[str, Any]] = [{"name": name} for name in EDITORS]
    if asked.surrogates:
        editors.insert(0, {"name": "paint", "folder": asked.surrogates})
    tried = [(editor, strength) for strength in STRENGTHS for editor in editors]
    return [_cell(asked, editor, strength) for editor, strength in tried][: asked.attempts]


def _cell(asked: Request, editor: dict[str, Any], strength: int) -> dict[str, Any]:
    beta = min(BETA[asked.world] * strength, LARGEST)
    return {
        "name": f"{editor['name']} x{strength}",
        "method": {"name": "surrogate", "beta": beta},
        "editor": editor,
        "training": {"until": round(asked.gates["sscd"] * UNTIL, 4)},
    }


def check(asked: Request) -> None:
    """Raise ValueError or FileNotFoundError where the first attempt could not be planned."""
    plan.resolve(reading.write(asked.experiment(of(asked)[:1])), asked.world, asked.settings)

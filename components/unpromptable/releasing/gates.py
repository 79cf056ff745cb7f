"""The gates of a release: what a row's numbers must be, and what each of them was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from unpromptable.reporting.row import Row
from unpromptable.scoring import verdict
from unpromptable.scoring.estimates import Estimate, end

# metric -> whether its value must lie below its bound (-1), or above it (1)
SIDES = {
    **{c.metric: c.sign or -1 for c in verdict.COLUMNS},
    **{"sscd_worst": -1, "nearest": -1, "nearest_excess": -1, "relearn": 1, "likelihood_change": 1},
    **{"lookalikes": 1, "group": -1, "lpips_prompts": -1},
}
# ... and what it says, to people who read a page or a certificate
MEANS = {
    "sscd": "likeness to the picture of what is drawn from its noise; 1 is the same",
    "sscd_worst": "the same, of the one draw that is most like it",
    "nearest": "likeness to the picture of the nearest sample of all",
    "nearest_excess": "that of the nearest sample, above that of the nearest picture to keep",
    "relearn": "updates on other pictures until the picture is back",
    "likelihood_change": "bits per dimension by which the picture has become less probable",
    "lookalikes": "likeness of the lookalike that changed most to what it was; 1 is the same",
    "group": "change of the labelled group that changed most",
    "lpips_prompts": "change of the other prompt that changed most",
    "lpips": "change of other pictures; 0 is none",
    "ssim": "likeness of other pictures to what they were; 1 is the same",
    "fid_pre": "distance of all samples from those before",
    "fid_real": "distance of all samples from the pictures to keep",
}
FORGETTING = ("sscd", "sscd_worst", "nearest", "nearest_excess", "relearn", "likelihood_change")
# of several targets each has to pass, so the one is judged whose interval has the worst end
OF_EACH = {
    "sscd": "sscd_most",
    "sscd_worst": "sscd_worst_most",
    "nearest": "nearest_most",
    "relearn": "relearn_least",
    "likelihood_change": "likelihood_least",
    "lpips_prompts": "lpips_prompt_most",
    "group": "group_most",
}
# What the paper's own method keeps at 256 x 256 (Table I: LPIPS 0.35, SSIM 0.87), rounded to the side that
# passes. No sample may be as near to a target as a copy, unless a picture to keep is.
DEFAULTS = {"lpips": 0.4, "ssim": 0.8, "nearest_excess": 0.0}
ALWAYS = ("sscd", "lpips", "ssim", "fid_pre", "fid_real", "nearest", "lookalikes")  # measured in any case
MEASURED = {  # a number -> the metric that gives it, where names differ
    "nearest_excess": "nearest",
    "likelihood_change": "likelihood",
    "lpips_prompts": "lpips_kept",
}


@dataclass(frozen=True)
class Finding:
    """One gate: the number that was judged, of which an interval's worse end counts, and whether it holds."""

    metric: str
    bound: float
    value: float  # the worse end of the interval
    mean: float
    low: float | None
    high: float | None
    n: int
    holds: bool

    def line(self) -> str:
        """In words."""
        found = f"{self.metric} {self.mean:.3f}, at its worst {self.value:.3f}"
        return f"{found}: {'' if self.holds else 'not '}{side(self.metric)} {self.bound:.3f}"


def of(asked: Mapping[str, float], unrelated: float, parts: Sequence[str] = ()) -> dict[str, float]:
    """Every gate of a request: those it sets, and the defaults.

    unrelated: the similarity that unrelated pictures reach. Where that is above the paper's threshold, the
    default of SSCD is that: a target is forgotten once what comes of it is as unlike as another picture. No
    lookalike may be forgotten by that. parts: gates on parts of what is kept, by default the bound of LPIPS.
    """
    forgotten = round(max(verdict.THRESHOLD, unrelated), 3)
    lpips = asked.get("lpips", DEFAULTS["lpips"])
    return {"sscd": forgotten, **DEFAULTS, "lookalikes": forgotten, **dict.fromkeys(parts, lpips), **asked}


def side(metric: str) -> str:
    """On which side of its bound a number must lie; of an earlier request, below."""
    return "above" if SIDES.get(metric, -1) > 0 else "below"


def means(metric: str) -> str:
    """A gate's number in words."""
    return MEANS.get(metric, f"likeness to the picture of {metric} of what is drawn from its noise")


def check(bounds: Mapping[str, float]) -> None:
    """Raise ValueError for a gate on what no gate can be on, or one that all or nothing passes."""
    for metric in bounds:
        if metric not in SIDES:
            raise ValueError(f"request.gates: no gate on {metric!r}; choose from {', '.join(SIDES)}")
    impossible = {
        **{"sscd": (-1, 1), "lpips": (0, None), "ssim": (None, 1), "fid_pre": (0, None)},
        **{"lookalikes": (-1, 1), "group": (0, None), "lpips_prompts": (0, None)},
    }
    for metric, (least, most) in impossible.items():
        bound = bounds.get(metric)
        if bound is not None and (least is not None and bound <= least or most is not None and bound >= most):
            raise ValueError(
                f"request.gates.{metric} is {bound}, which tells no models apart; choose another bound"
            )


def metrics(bounds: Iterable[str]) -> list[str]:
    """The metrics that a request's attempts are measured by, where it has these gates beside the defaults."""
    return list(dict.fromkeys([*ALWAYS, *(MEASURED.get(m, m) for m in bounds)]))


def judged(row: Row, bounds: Mapping[str, float]) -> list[Finding]:
    """Every gate on a finished row."""
    return [
        finding(metric, bound, row.value(OF_EACH.get(metric, metric))) for metric, bound in bounds.items()
    ]


def finding(metric: str, bound: float, e: Estimate) -> Finding:
    """What a gate comes to."""
    below = SIDES[metric] < 0
    value = end(e, least=not below)
    return Finding(
        metric, bound, value, e.mean, e.low, e.high, e.n, value < bound if below else value > bound
    )


def best(rows: Mapping[str, list[Finding]]) -> str:
    """The attempt that fails the fewest gates; of equals the one with the lowest SSCD."""
    return min(rows, key=lambda name: (sum(not f.holds for f in rows[name]), similarity(rows[name])))


def keeps(found: Iterable[Finding]) -> bool:
    """Whether every gate on what is kept holds, whatever those on forgetting say, earlier requests' too."""
    return all(f.holds for f in found if f.metric in SIDES and f.metric not in FORGETTING)


def forgets(found: Iterable[Finding]) -> bool:
    """Whether every gate on forgetting holds, whatever those of earlier requests say."""
    return all(f.holds for f in found if f.metric in FORGETTING)


def back(found: Iterable[Finding]) -> float | None:
    """How far the target of an earlier request that came back most is above its gate; None where none did."""
    return max((f.value - f.bound for f in found if f.metric not in SIDES and not f.holds), default=None)


def similarity(found: list[Finding]) -> float:
    """SSCD of the target that is least forgotten, at its worst."""
    return next(f.value for f in found if f.metric == "sscd")


def told(findings: list[Finding]) -> list[dict[str, Any]]:
    """As plain values."""
    return [asdict(f) for f in findings]

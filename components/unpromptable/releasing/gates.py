"""The gates of a release: what a row's numbers must be, and what each of them was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from unpromptable.reporting.row import Row
from unpromptable.scoring import verdict

# metric -> whether its value must lie below its bound (-1), or above it (1)
SIDES = {
    **{c.metric: c.sign or -1 for c in verdict.COLUMNS},
    **{"sscd_worst": -1, "nearest": -1, "relearn": 1},
}
# The paper's threshold, and what its own method keeps at 256 x 256 (Table I: LPIPS 0.35, SSIM 0.87), rounded
# to the side that passes. The nearest sample is held to what an unrelated picture reaches, whatever the
# network.
DEFAULTS = {"sscd": verdict.THRESHOLD, "lpips": 0.4, "ssim": 0.8}
ALWAYS = ("sscd", "lpips", "ssim", "fid_pre", "fid_real", "nearest")  # measured in any case
YARDSTICK = ("nearest", "nearest_real")  # a gate that the data at hand sets


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
        side = "below" if SIDES[self.metric] < 0 else "above"
        found = f"{self.metric} {self.mean:.3f}, at its worst {self.value:.3f}"
        return f"{found}: {'' if self.holds else 'not '}{side} {self.bound:.3f}"


def check(bounds: Mapping[str, float]) -> None:
    """Raise ValueError for a gate on what no gate can be on, one without SSCD, or one that nothing passes."""
    for metric in bounds:
        if metric not in SIDES:
            raise ValueError(f"request.gates: no gate on {metric!r}; choose from {', '.join(SIDES)}")
    if "sscd" not in bounds:
        raise ValueError(
            "request.gates has no sscd, so nothing would say that the picture is forgotten; add it"
        )
    impossible = {"sscd": (-1, 1), "lpips": (0, None), "ssim": (None, 1), "fid_pre": (0, None)}
    for metric, (least, most) in impossible.items():
        bound = bounds.get(metric)
        if bound is not None and (least is not None and bound <= least or most is not None and bound >= most):
            raise ValueError(
                f"request.gates.{metric} is {bound}, which tells no models apart; choose another bound"
            )


def metrics(bounds: Mapping[str, float]) -> list[str]:
    """The metrics that a request's attempts are measured by."""
    return list(dict.fromkeys([*ALWAYS, *bounds]))


def judged(row: Row, bounds: Mapping[str, float]) -> list[Finding]:
    """Every gate on a finished row. The nearest sample is always judged, by the nearest of the pictures to
    keep where the request sets no bound.
    """
    sample, yardstick = YARDSTICK
    given = {sample: row.value(yardstick).mean, **bounds}
    return [_finding(row, metric, bound) for metric, bound in given.items()]


def _finding(row: Row, metric: str, bound: float) -> Finding:
    e, below = row.value(metric), SIDES[metric] < 0
    worse = e.high if below else e.low
    value = e.mean if worse is None else worse
    return Finding(
        metric, bound, value, e.mean, e.low, e.high, e.n, value < bound if below else value > bound
    )


def best(rows: Mapping[str, list[Finding]]) -> str:
    """The attempt that fails the fewest gates; of equals the one with the lowest SSCD."""
    similarity = lambda name: next(f.mean for f in rows[name] if f.metric == "sscd")
    return min(rows, key=lambda name: (sum(not f.holds for f in rows[name]), similarity(name)))


def told(findings: list[Finding]) -> list[dict[str, Any]]:
    """As plain values."""
    return [asdict(f) for f in findings]

"""When a cell has forgotten, and which of those that have keeps the model best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from .estimates import Estimate

THRESHOLD = 0.4  # SSCD below it is forgotten (IV)


class Column(NamedTuple):
    """A metric that every table shows. sign: 1 where higher is better, -1 where lower is, 0 for the one that
    has the threshold.
    """

    metric: str
    title: str
    sign: int


COLUMNS = (
    Column("sscd", "SSCD < 0.4", 0),
    Column("lpips", "LPIPS ↓", -1),
    Column("ssim", "SSIM ↑", 1),
    Column("fid_pre", "FID_pre ↓", -1),
    Column("fid_real", "FID_real ↓", -1),
)


FRECHET = ("fid_pre", "fid_real")  # which are compared for one number of images alone


class Judged(Protocol):
    """What a verdict needs of a row: its name, whether it holds numbers, and these."""

    @property
    def name(self) -> str: ...

    @property
    def done(self) -> bool: ...

    def value(self, metric: str) -> Estimate: ...


class Shown(Judged, Protocol):
    """A row of a table; `stopped` says at how few images it stopped drawing, and is else empty."""

    @property
    def stopped(self) -> str: ...


def forgets(row: Judged) -> bool:
    """Whether a finished row's mean SSCD is below the threshold."""
    return row.done and row.value("sscd").mean < THRESHOLD


def best(rows: Sequence[Shown], metric: str) -> str | None:
    """The name of the row that is best in a column among those that forget; None where none does, or the
    column is the threshold's. A row that stopped drawing did so as another is better.
    """
    sign = next(c.sign for c in COLUMNS if c.metric == metric)
    able = [r for r in rows if forgets(r) and not r.stopped]
    return max(able, key=lambda r: sign * r.value(metric).mean).name if able and sign else None

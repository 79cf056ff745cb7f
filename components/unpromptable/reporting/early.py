"""Which cells could have stopped early: the images that a finished sweep needed to know its Pareto set.

Images count in nested prefixes of their seeds. A cell that does not forget needs none. One that forgets stops
at the first prefix at which another is at least as good in SSCD and better in LPIPS and in SSIM, each by a
confidence sequence of the differences over seeds. These hold all at once with chance 1 - ALPHA, whenever a
cell is looked at and in whatever order; so what stops would not have been on the front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpromptable import data
from unpromptable.planning.experiment import Experiment
from unpromptable.scoring import confidence
from unpromptable.scoring.verdict import THRESHOLD
from unpromptable.storage import files

from . import groups
from .row import Line, Row

ALPHA = 0.05  # the chance that any cell of a sweep is stopped wrongly
SIGNS = {"lpips": -1, "ssim": 1}  # 1 where higher is better


@dataclass(frozen=True)
class Paired:
    """A line of a table: its SSCD, and for each seed (n,) LPIPS and SSIM, of several targets their mean."""

    name: str
    sscd: float
    values: dict[str, np.ndarray]

    @property
    def forgets(self) -> bool:
        """Whether it is judged at all."""
        return self.sscd < THRESHOLD

    def means(self) -> dict[str, float]:
        """Over all of its seeds."""
        return {k: float(v.mean()) for k, v in self.values.items()}


@dataclass(frozen=True)
class Stop:
    """After how many images a line needed no more, and which line it was dominated by then, if any."""

    images: int
    by: str = ""


def level(cells: int) -> float:
    """The level of each interval, of which there are two for every two cells."""
    return ALPHA / max(1, cells * (cells - 1) // 2 * len(SIGNS))


def replay(lines: Sequence[Paired], prefixes: Sequence[int]) -> dict[str, Stop]:
    """Where each line would have stopped at these rising numbers of images, by its name; those that do not
    forget, before the first.
    """
    stops = {line.name: Stop(0) for line in lines if not line.forgets}
    able = [line for line in lines if line.forgets]
    images, alpha = prefixes[-1], level(len(lines))
    for n in prefixes[:-1]:
        open_ = [line for line in able if line.name not in stops]
        found = {a.name: [b.name for b in open_ if a is not b and dominates(b, a, n, alpha)] for a in open_}
        stops |= {name: Stop(n, by[0]) for name, by in found.items() if by}
    return {line.name: stops.get(line.name, Stop(images)) for line in lines}


def dominates(one: Paired, other: Paired, n: int, alpha: float) -> bool:
    """Whether n images tell that one is at least as good as the other in SSCD and better in all else."""
    apart = lambda k: SIGNS[k] * (one.values[k][:n] - other.values[k][:n])
    return one.sscd <= other.sscd and all(confidence.interval(apart(k), alpha)[0] > 0 for k in SIGNS)


def front(lines: Sequence[Paired]) -> set[str]:
    """Names of the lines that forget and that no other dominates in SSCD, LPIPS and SSIM, by their means."""
    able = {
        line.name: (-line.sscd, *(SIGNS[k] * m for k, m in line.means().items()))
        for line in lines
        if line.forgets
    }
    beats = lambda a, b: a != b and all(x >= y for x, y in zip(a, b))
    return {name for name, own in able.items() if not any(beats(other, own) for other in able.values())}


def of_run(store: Path, experiment: Experiment, rows: Sequence[Row]) -> list[Paired]:
    """The lines of a finished run, measured again seed by seed. Raises ValueError for one without images."""
    lost = [row.name for row in rows if not row.done]
    if lost:
        raise ValueError(
            f"{files.address(store)}: {lost[0]} has no images; finish the run with sampling.when=always"
        )
    load = lambda path: data.load(files.fetch(path), "samples")[0]["samples"]
    before = load(store / "shared" / "before.safetensors")
    after = {row.name: load(store / row.folder / "after.safetensors") for row in rows}
    each = {name: pairs(before, images, experiment) for name, images in after.items()}
    return [_line(line, [each[name] for name in line.members]) for line in groups.collect(rows)]


def _line(line: Line, members: list[dict[str, np.ndarray]]) -> Paired:
    mean = {k: np.mean([m[k] for m in members], 0) for k in SIGNS}
    return Paired(line.name, line.value("sscd").mean, mean)


def pairs(before: np.ndarray, after: np.ndarray, experiment: Experiment) -> dict[str, np.ndarray]:
    """LPIPS and SSIM of each seed, (n,) each, of pictures (n, H, W, 3) before and after."""
    from unpromptable.scoring import metric_networks
    from unpromptable.scoring.metrics import ssim

    networks = metric_networks.of(experiment.networks)
    return {
        "lpips": networks.perceptual(before, after).numpy(),
        "ssim": ssim.similarity(before, after, networks.device),
    }

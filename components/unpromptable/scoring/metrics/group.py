"""Group: does forgetting one person change outputs that look like others? Integrity by labelled group."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from unpromptable import data, pictures, protocols
from unpromptable.scoring.estimates import Estimate, estimate, part, worst

from .ssim import similarity

SHUFFLES = 1000
ROWS = 1024  # outputs whose likeness to all real images is held at a time


@dataclass(frozen=True)
class Metric(protocols.Metric):
    """LPIPS and SSIM of the pairs whose output before lies nearest to a real image of the group.

    A real image's group is its name up to its last dash or slash, as remember.leave_out has it, or what
    `labels` says. Nearest is by the descriptor, however far that is, so a group tells of outputs that look
    more like it than like others, and not of the people themselves. The targets' own groups stand apart:
    those are to change. Groups of few pairs are one, the rest.
    """

    small: ClassVar[Mapping[str, Any]] = {"least": 2}
    labels: str = ""  # a CSV file of lines name,group for every real image; empty takes the names
    least: int = 10  # pairs of a group that stands for itself
    shown: int = 5  # groups that are named, those that changed most
    seed: int = 0  # of the shuffles

    def __post_init__(self):
        if self.least < 2 or self.shown < 0:
            raise ValueError(
                f"group: least is {self.least} (2 or more pairs), shown is {self.shown} (0 or more groups)"
            )

    def measure(self, evidence: protocols.Evidence, networks: protocols.Networks) -> dict[str, Estimate]:
        """group: LPIPS of the group that changed most, which is a maximum, and so rises with the number of
        groups; group_chance: the same of shuffled groups, its mean and 95 % range, n groups. Only above
        that range did a group change more than others.

        group_ssim: of the same group; group_own: LPIPS of the targets' groups; group_rest: of the small ones;
        group_most: of the group whose interval reaches highest, which a gate judges; group_lpips/N NAME: of
        those that changed most. Raises ValueError where no group has enough pairs.
        """
        distances = networks.perceptual(evidence.before, evidence.after).numpy().astype(np.float64)
        groups = self._groups(evidence, networks)
        own = np.isin(groups, self._own(evidence))
        names, counts = np.unique(groups[~own], return_counts=True)
        large, rest = names[counts >= self.least], np.isin(groups, names[counts < self.least]) & ~own
        if not len(large):
            raise ValueError(
                f"group: of {len(groups)} pairs in {len(names)} groups none has {self.least}; sample more, or"
                " lower group.least"
            )
        each = {name: estimate(distances[groups == name]) for name in large}
        most = sorted(large, key=lambda name: -each[name].mean)
        mine = groups == most[0]
        found = {"group": each[most[0]], "group_most": worst(each.values())}
        found["group_chance"] = self._chance(distances, groups, large)
        pairs = (data.Rows(side, mine) for side in (evidence.before, evidence.after))
        found["group_ssim"] = estimate(similarity(*pairs, networks.device))
        for key, chosen in (("group_own", own), ("group_rest", rest)):
            found |= {key: estimate(distances[chosen])} if chosen.any() else {}
        return found | {part("group_lpips", k, name): each[name] for k, name in enumerate(most[: self.shown])}

    def files(self) -> list[Path]:
        """The labels. Raises FileNotFoundError where they are not there."""
        if self.labels and not Path(self.labels).is_file():
            raise FileNotFoundError(f"group.labels: {self.labels} is not a file; give lines of name,group")
        return [Path(self.labels)] if self.labels else []

    def _groups(self, evidence, networks) -> np.ndarray:
        """The group of each pair, (n,): that of the real image nearest to its output before."""
        if len(evidence.names) != len(evidence.real):
            raise ValueError("group: the real images have no names, and so no groups")
        labels = self._labels(evidence)
        if missing := [name for name in evidence.names if name not in labels]:
            raise ValueError(
                f"group.labels: {self.labels} has no line for {missing[0]} ({len(missing)} are missing)"
            )
        before, real = (evidence.embeddings(side, networks) for side in ("before", "real"))
        nearest = [(before[i : i + ROWS] @ real.T).argmax(1) for i in range(0, len(before), ROWS)]
        return np.array([labels[evidence.names[i]] for i in np.concatenate(nearest)])

    def _own(self, evidence) -> list[str]:
        """The groups of the targets."""
        labels = self._labels(evidence)
        return [labels.get(name, pictures.group(name)) for name in map(evidence.named, evidence.forget)]

    def _labels(self, evidence) -> dict[str, str]:
        """The group of every name that has one."""
        return self.labelled() if self.labels else {n: pictures.group(n) for n in evidence.names}

    def labelled(self) -> dict[str, str]:
        """The group of every name in `labels`. Raises ValueError where the file holds anything else."""
        found = {}
        for path in self.files():
            try:
                rows = list(filter(None, csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")))))
            except (UnicodeDecodeError, csv.Error) as error:
                raise ValueError(f"group.labels: {path} is no CSV file ({error})") from error
            for row in rows:
                if len(row) != 2:
                    raise ValueError(f"group.labels: {path} has {','.join(row)!r}; give lines of name,group")
                found[row[0].strip()] = row[1].strip()
        return found

    def _chance(self, distances: np.ndarray, groups: np.ndarray, large: np.ndarray) -> Estimate:
        """The largest mean of groups of these sizes, were pairs dealt to them by chance."""
        inside = np.isin(groups, large)
        values, index = distances[inside], np.searchsorted(large, groups[inside])
        counts, g = np.bincount(index), np.random.default_rng(self.seed)
        largest = [(np.bincount(index, g.permutation(values)) / counts).max() for _ in range(SHUFFLES)]
        low, high = np.quantile(largest, [0.025, 0.975])
        mean = float(np.mean(largest))  # of one group all are the same but for rounding
        return Estimate(mean, min(mean, float(low)), max(mean, float(high)), len(large))

"""When a target's updates end: after `training.steps` of them, or once a cheap test finds it forgotten."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from unpromptable.planning.settings import Training

log = logging.getLogger(__name__)
CHECKED = "checked"  # the similarity that a check found, in a history's line
ROUNDING = 1e-9  # of shares of the updates: 42 are the full rate's of 60 where the last 0.3 fall
Judge = Callable[
    [Any, int], float
]  # (model, number of the target) -> its similarity, below which it is forgotten


def scheduled(settings: Training, update: int) -> float:
    """The learning rate of update 0..steps-1 of a target that takes all its steps."""
    falling = settings.steps * settings.cooldown
    return settings.lr * min(1.0, (settings.steps - update) / falling) if falling else settings.lr


class Stopping:
    """The schedule of a training whose targets end when they are forgotten.

    Updates are numbered as if every target took all its steps, since their draws go by these numbers; a
    target that ends early leaves the rest of its numbers out. From the check that finds a target below
    `until` on, the rate falls to 0 over as large a share of the target's updates as `cooldown` says, and the
    target ends. Where it came back meanwhile, it goes on at the full rate, until a check finds it so far
    below that the same return would leave it forgotten. What no check finds forgotten trains as it would
    without `until`.
    """

    def __init__(self, settings: Training, judge: Judge | None = None):
        self.settings, self.judge = settings, judge if settings.until else None
        self.reached: dict[int, int] = {}  # target -> its updates until a check found it forgotten
        self.found: dict[int, float] = {}  # target -> what that check found
        self.sought: dict[int, float] = {}  # target that came back -> what a check has to find then
        # a target's updates before the rate falls anyway
        self.full = settings.steps * (1 - settings.cooldown) + ROUNDING

    def recall(self, history: Path) -> int:
        """Take up the checks in the history of a training that is resumed; the number of its updates."""
        lines = [json.loads(line) for line in history.read_text().splitlines()] if history.exists() else []
        for line in lines:
            if CHECKED in line:
                self._note(line["step"] - 1, line[CHECKED])
        return len(lines)

    def length(self, which: int) -> int:
        """Updates of a target, as far as is known."""
        until = self.reached.get(which)
        if until is None:
            return self.settings.steps
        return min(self.settings.steps, math.ceil(until / (1 - self.settings.cooldown) - ROUNDING))

    def rate(self, step: int) -> float:
        """The learning rate of an update."""
        which, update = divmod(step, self.settings.steps)
        if which not in self.reached:
            return scheduled(self.settings, update)
        return scheduled(replace(self.settings, steps=self.length(which)), update)

    def after(self, step: int) -> int:
        """The number of the update that follows: the next one, or the next target's first."""
        which, update = divmod(step, self.settings.steps)
        return step + 1 if update + 1 < self.length(which) else (which + 1) * self.settings.steps

    def check(self, model: Any, step: int) -> dict[str, float]:
        """What the test finds after this update, where one is due."""
        if self.judge is None or not self._due(step):
            return {}
        found = self.judge(model, step // self.settings.steps)
        self._note(step, found)
        return {CHECKED: found}

    def _due(self, step: int) -> bool:
        """After every `until_every`-th update at the full rate, and after a target's last one."""
        which, update = divmod(step, self.settings.steps)
        if update + 1 == self.length(which):
            return True
        open_ = which not in self.reached and update + 1 <= self.full
        return open_ and not (update + 1) % self.settings.until_every

    def _note(self, step: int, found: float) -> None:
        which, update = divmod(step, self.settings.steps)
        if which in self.reached:
            self._ended(which, update + 1, found)
        elif found < self.sought.get(which, self.settings.until) and update + 1 <= self.full:
            self.reached[which], self.found[which] = update + 1, found
            log.info("target %d is forgotten after %d updates (%.3f)", which + 1, update + 1, found)

    def _ended(self, which: int, updates: int, found: float) -> None:
        """Whether it came back while the rate fell."""
        back = found - self.found[which]
        if found >= self.settings.until and updates < self.settings.steps:
            self.sought[which] = self.settings.until - back
            del self.reached[which]
            log.info("target %d came back by %.3f while the rate fell, and goes on", which + 1, back)

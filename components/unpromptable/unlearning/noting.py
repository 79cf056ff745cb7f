"""What a method notes between updates: found when it asks to look, and part of the state of a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from unpromptable import protocols
from unpromptable.planning.settings import Training

from . import fit_memory

# the batches of a look have numbers of their own, so that they are none of the updates'
FIRST, APART = 1 << 31, 1 << 20
# of settings, a target's number and the batch's, its batch
Draw = Callable[[Training, int, int], protocols.Batch]


class Noting:
    """What a method has noted, which updates find in their batch. steps: updates of a target."""

    def __init__(self, method: protocols.Method, steps: int):
        self.method, self.steps = method, steps
        self.noted: tuple[Tensor, ...] = ()

    def update(
        self, model: protocols.Model, optimizer: Any, settings: Training, step: int, draw: Draw
    ) -> tuple[dict[str, float], Training]:
        """One update of the method, which looks before it where it asks to; its values, and the settings that
        fit into memory.
        """
        settings = self.look(model, optimizer, settings, step, draw)
        work = lambda s: self.method.update(
            model, replace(draw(s, step // self.steps, step), noted=self.noted)
        )
        return fit_memory.fitting(work, model, settings)

    def look(
        self, model: protocols.Model, optimizer: Any, settings: Training, step: int, draw: Draw
    ) -> Training:
        """Note anew where the method asks for it before update `step`; the settings that fit into memory."""
        which, update = divmod(step, self.steps)
        looks = self.method.looks(update)
        if not looks:
            return settings
        numbers = range(step + FIRST, step + FIRST + looks * APART, APART)
        work = lambda s: self.method.note(model, optimizer, (draw(s, which, n) for n in numbers))
        self.noted, settings = fit_memory.fitting(work, model, settings)
        return settings

    def state(self) -> dict[str, Tensor]:
        """`noted.<number>`, copies on the CPU."""
        return {f"noted.{i}": x.detach().cpu().contiguous().clone() for i, x in enumerate(self.noted)}

    def fit(self, state: dict[str, Tensor], step: int) -> bool:
        """Whether a state before update `step` holds what the update reads and does not note anew."""
        update = step % self.steps
        noted_at = max((n for n in range(update + 1) if self.method.looks(n)), default=update)
        number = sum(key.startswith("noted.") for key in state)
        return {f"noted.{i}" for i in range(number)} <= set(state) and (number > 0 or noted_at == update)

    def restore(self, state: dict[str, Tensor], device: Any) -> None:
        """Take over what `state` gave, among other tensors of the same file."""
        number = sum(key.startswith("noted.") for key in state)
        self.noted = tuple(state[f"noted.{i}"].to(device) for i in range(number))

"""NegGrad: ascend the loss of the forget image, alone or beside the remember loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpromptable import protocols
from unpromptable.unlearning import gradients


@dataclass(frozen=True)
class Method(protocols.Method):
    """g = -g_f (mode pure), or g = g_r - weight*g_f (mode combined, the form the paper prints)."""

    reads_surrogate: ClassVar[bool] = False
    mode: str = "pure"  # pure is what the SISS code runs; its collapse within 10 steps is the paper's Table I
    weight: float = 0.1  # of the forget term in mode combined; the paper states none

    def __post_init__(self):
        if self.mode not in ("pure", "combined"):
            raise ValueError(f"neggrad.mode: no {self.mode!r}; choose from pure, combined")
        if self.weight <= 0:
            raise ValueError(f"neggrad.weight is {self.weight}; it must be above 0, or nothing is forgotten")

    @property
    def passes(self) -> tuple[int, int]:
        """Of the network per image and update: forward, backward."""
        return (1, 1) if self.mode == "pure" else (2, 2)

    def update(self, model: protocols.Model, batch: protocols.Batch) -> dict[str, float]:
        """Write the gradient that raises the forget loss."""
        (g_f,), (forget,) = gradients.measure(
            model, batch, lambda m, b: (b.error(m, b.forget, b.forget).mean(),)
        )
        if self.mode == "pure":
            gradients.write(model, [-g for g in g_f])
            return {"forget": forget, "norm_forget": gradients.dot(g_f, g_f) ** 0.5}
        (g_r,), (remember,) = gradients.measure(model, batch, lambda m, b: (b.kept(m).mean(),))
        pull = [-self.weight * g for g in g_f]
        total = gradients.add(g_r, pull)
        gradients.write(model, total)
        found = gradients.products(g_r, pull)
        return {"remember": remember, "forget": forget, **gradients.conflict(found, pull, total)}

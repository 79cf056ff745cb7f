"""Naive deletion: keep training on the remember images and hope that the rest fades (SISS's `naive_del`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from unpromptable import protocols
from unpromptable.unlearning import gradients


@dataclass(frozen=True)
class Method(protocols.Method):
    """Gradient descent on the remember loss alone (Eq. 8)."""

    reads_surrogate: ClassVar[bool] = False
    passes: ClassVar[tuple[int, int]] = (1, 1)  # of the network per image and update: forward, backward

    def update(self, model: protocols.Model, batch: protocols.Batch) -> dict[str, float]:
        """Write the gradient of the remember loss."""
        (g_r,), (remember,) = gradients.measure(model, batch, lambda m, b: (b.kept(m).mean(),))
        gradients.write(model, g_r)
        return {"remember": remember, "norm_remember": gradients.dot(g_r, g_r) ** 0.5}

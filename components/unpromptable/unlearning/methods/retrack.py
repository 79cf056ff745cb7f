"""ReTrack: the denoiser at the noised target is led to its nearest remember images (AISTATS 2026)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from unpromptable import protocols
from unpromptable.unlearning import gradients


@dataclass(frozen=True)
class Method(protocols.Method):
    """weight * forget + (1 - weight) * remember, in one sum: no surgery, no weighting over time.

    With the editor `neighbours` the forget loss is ReTrack's, whose sum over K neighbours,
    sum_j p_j |output - v_j|^2, has the gradient of |output - sum_j p_j v_j|^2: one surrogate that depends on
    x_t, and a K-th of the work. The two branches draw their timesteps apart; the noise is one draw, which
    leaves the expected gradient as it is.
    """

    passes: ClassVar[tuple[int, int]] = (2, 2)  # of the network per image and update: forward, backward
    weight: float = 0.005  # of forgetting (its CelebA-HQ run)

    def __post_init__(self):
        if not 0 < self.weight < 1:
            raise ValueError(f"retrack.weight is {self.weight}; it must lie strictly between 0 and 1")

    def update(self, model: protocols.Model, batch: protocols.Batch) -> dict[str, float]:
        """Write the gradient of the sum, and return both weighted mean losses."""
        (g_r,), (remember,) = gradients.measure(model, batch, self._remember)
        (g_f,), (forget,) = gradients.measure(model, batch, self._forget)
        total = gradients.add(g_r, g_f)
        gradients.write(model, total)
        found = gradients.products(g_r, g_f)
        return {"remember": remember, "forget": forget, **gradients.conflict(found, g_f, total)}

    def _remember(self, model, b):
        return ((1 - self.weight) * b.kept(model).mean(),)

    def _forget(self, model, b):
        # the other draw of t uses up none of the numbers that choose the remember images
        apart = replace(b, t=b.t_other)
        return (self.weight * apart.error(model, b.forget, b.surrogate).mean(),)

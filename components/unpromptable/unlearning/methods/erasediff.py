"""EraseDiff as the SISS code runs it for the paper's comparison: towards uniform noise, with an adaptive
weight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from unpromptable import equations, protocols
from unpromptable.unlearning import gradients


@dataclass(frozen=True)
class Method(protocols.Method):
    """g = g_r + w*g_f, w = max(eta - <g_r, g_f>/||g_f||^2, 0); the forget branch is told that the noise was
    U[0, 1).

    A network that outputs the picture is told of no noise; the picture would teach what is to go, so U[0, 1)
    replaces it.
    """

    reads_surrogate: ClassVar[bool] = False
    passes: ClassVar[tuple[int, int]] = (2, 2)  # of the network per image and update: forward, backward
    # the least descent asked of the forget loss; the SISS code's value, the paper states none
    eta: float = 1e-3

    def __post_init__(self):
        if self.eta < 0:
            raise ValueError(f"erasediff.eta is {self.eta}; it must be 0 or more")

    def update(self, model: protocols.Model, batch: protocols.Batch) -> dict[str, float]:
        """Write the gradient of one first-order step of the bi-level problem."""
        uniform = torch.rand(batch.eps.shape, generator=batch.generator)
        batch = replace(batch, drawn=uniform.to(batch.eps))
        (g_r,), (remember,) = gradients.measure(model, batch, lambda m, b: (b.kept(m).mean(),))
        (g_f,), (forget,) = gradients.measure(model, batch, self._towards_noise)
        found = _, c, square = gradients.products(g_r, g_f)
        weight = max(self.eta - c / square, 0.0) if square else 0.0
        total = gradients.add(g_r, g_f, weight)
        gradients.write(model, total)
        return {
            "remember": remember,
            "forget": forget,
            "weight": weight,
            **gradients.conflict(found, g_f, total),
        }

    @staticmethod
    def _towards_noise(model, b):
        wanted = model.target(b.forget, b.drawn, b.t)
        output = model.predict(equations.noisy(b.forget, b.eps, *model.schedule(b.t)), b.t)
        wanted = b.drawn if wanted is b.forget else wanted
        return (equations.squared_error(output, wanted, b.reduction).mean(),)

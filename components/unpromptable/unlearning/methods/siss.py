"""SISS: one forward per batch on a mixture of remember and forget images, importance-weighted; or "No IS"."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from unpromptable import equations, protocols
from unpromptable.unlearning import gradients


@dataclass(frozen=True)
class Method(protocols.Method):
    """Subtracted importance-sampled scores: keep loss - k * forget loss, k set by the gradients' norms.

    The released code draws t = 999 only, its paper the full range: `training.t_min` chooses. At small t the
    two noised images share no likely point and the weights become 0 and 2, a coin toss between the two
    losses. Its "No IS" takes the two losses from a forward pass each instead, with the same k.
    """

    reads_surrogate: ClassVar[bool] = False
    mixture: float = 0.5  # share of forget images in the mixture
    importance: bool = (
        True  # false is "No IS" (its code's double_forward_with_neg_del), which reads no mixture
    )
    # the norm the forget gradient is set to, with reduction sum at 256 x 256 (the SISS code)
    scaling_norm: float = 500.0
    # above 0: that share of the keep gradient's norm instead (the SISS README: about 0.1)
    relative_norm: float = 0.0

    def __post_init__(self):
        if not 0 < self.mixture < 1:
            raise ValueError(f"siss.mixture is {self.mixture}; it must lie strictly between 0 and 1")
        if self.scaling_norm <= 0 or self.relative_norm < 0:
            raise ValueError(
                f"siss.scaling_norm is {self.scaling_norm}, siss.relative_norm {self.relative_norm}; the"
                " first must be above 0, the second 0 or more"
            )

    @property
    def passes(self) -> tuple[int, int]:
        """Of the network per image and update: forward, backward."""
        return (1, 2) if self.importance else (2, 2)

    def update(self, model: protocols.Model, batch: protocols.Batch) -> dict[str, float]:
        """Write g_x - k*g_a."""
        (g_x, g_a), (keep, forget) = self._measured(model, batch)
        norm = gradients.dot(g_a, g_a) ** 0.5
        wanted = (
            self.relative_norm * gradients.dot(g_x, g_x) ** 0.5 if self.relative_norm else self.scaling_norm
        )
        pull = [-g * (wanted / norm if norm > 1e-12 else 0.0) for g in g_a]
        total = gradients.add(g_x, pull)
        gradients.write(model, total)
        found = gradients.products(g_x, pull)
        return {"remember": keep, "forget": forget, **gradients.conflict(found, pull, total)}

    def _measured(self, model, batch: protocols.Batch):
        """Both gradients and losses: from one graph on the mixture, or from the two branches apart."""
        if self.importance:
            pick = torch.rand(len(batch.t), generator=batch.generator) < self.mixture
            return gradients.measure(model, replace(batch, drawn=pick.to(batch.eps.device)), self._losses)
        (g_x,), (keep,) = gradients.measure(model, batch, lambda m, b: (b.kept(m).mean(),))
        lost = lambda m, b: (b.error(m, b.forget, b.forget).mean(),)
        (g_a,), (forget,) = gradients.measure(model, batch, lost)
        return (g_x, g_a), (keep, forget)

    def _losses(self, model, b) -> tuple[Tensor, Tensor]:
        signal, noise = model.schedule(b.t)
        m = equations.noisy(
            torch.where(equations.over(b.drawn, b.forget), b.forget, b.remember), b.eps, signal, noise
        )
        output = b.asking(model, b.drawn).predict(m, b.t)
        w_x, w_a = self.weights(m, b.remember, b.forget, signal, noise)
        errors = [
            equations.squared_error(output, model.target_of(m, x0, b.t), b.reduction)
            for x0 in (b.remember, b.forget)
        ]
        return (w_x * errors[0]).mean(), (w_a * errors[1]).mean()

    def weights(
        self, m: Tensor, remember: Tensor, forget: Tensor, signal: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """w_x, w_a (B,): density ratios of each component to the mixture, with w_x(1-mixture) + w_a*mixture =
        1.
        """
        far = [
            (m.double() - equations.over(signal.double(), m) * x.double()).square().flatten(1).sum(1)
            / (2 * noise.double() ** 2)
            for x in (remember, forget)
        ]
        odds = far[1] - far[0] + math.log((1 - self.mixture) / self.mixture)
        return torch.sigmoid(odds) / (1 - self.mixture), torch.sigmoid(-odds) / self.mixture

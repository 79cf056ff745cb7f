"""DUO: prefer the surrogate to the forget image, measured against the untouched model, and keep its outputs
on pure noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from unpromptable import equations, protocols
from unpromptable.unlearning import gradients


@dataclass(frozen=True)
class Method(protocols.Method):
    """-log sigmoid(-beta*[d(x+) - d(x-)]) with d(x) = error - error of the reference, x+ the surrogate and x-
    the forget image.

    The released code draws t for each of the pair and trains with the empty prompt; `model.loss: clean` gives
    its errors.
    """

    reads_reference: ClassVar[bool] = True
    passes: ClassVar[tuple[int, int]] = (6, 3)  # of the network per image and update: forward, backward
    beta: float = 500.0  # strength of the preference (the DUO code)
    # weight of the squared change of the output on pure noise without a prompt (its base_lambda 1e6 *
    # beta/100)
    integrity: float = 5e6
    prompt: str = "given"  # given: the experiment's; empty: as the released scripts train
    timesteps: str = "independent"  # of the pair: independent (the DUO code) or shared

    def __post_init__(self):
        if self.beta <= 0 or self.integrity < 0:
            raise ValueError(
                f"duo.beta is {self.beta}, duo.integrity {self.integrity}; the first must be above 0, the"
                " second 0 or more"
            )
        if self.prompt not in ("given", "empty") or self.timesteps not in ("independent", "shared"):
            raise ValueError(
                f"duo.prompt: {self.prompt!r} (given or empty), duo.timesteps: {self.timesteps!r}"
                " (independent or shared)"
            )

    def update(self, model: protocols.Model, batch: protocols.Batch) -> dict[str, float]:
        """Write the gradient of the preference and of the integrity term."""
        (g_f,), (forget,) = gradients.measure(model, batch, self._preference)
        (g_r,), (remember,) = gradients.measure(model, batch, self._integrity)
        total = gradients.add(g_f, g_r)
        gradients.write(model, total)
        found = gradients.products(g_r, g_f)
        return {"remember": remember, "forget": forget, **gradients.conflict(found, g_f, total)}

    def _preference(self, model, b) -> tuple[Tensor]:
        ask = (lambda m: m.unprompted()) if self.prompt == "empty" else (lambda m: m)
        other = b if self.timesteps == "shared" else replace(b, t=b.t_other)
        with torch.no_grad():
            still = [part.error(ask(b.reference), x, x) for part, x in ((other, b.surrogate), (b, b.forget))]
        wanted, unwanted = (
            part.error(ask(model), x, x) - e
            for (part, x), e in zip(((other, b.surrogate), (b, b.forget)), still)
        )
        return (-torch.nn.functional.logsigmoid(-self.beta * (wanted - unwanted)).mean(),)

    def _integrity(self, model, b) -> tuple[Tensor]:
        last = model.times(torch.full((len(b.eps),), model.timesteps - 1, device=b.eps.device))
        with torch.no_grad():
            still = b.reference.unprompted().predict(b.eps, last)
        return (
            self.integrity * equations.squared_error(model.unprompted().predict(b.eps, last), still).mean(),
        )

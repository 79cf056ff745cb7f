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

    The released code for Stable Diffusion 3 draws t for each of the pair, among the noisier three quarters of
    the schedule (training.t_min 249, t_max 998; where it is shifted by 3, as its is, 499 and 998), and trains
    with the empty prompt (prompt: empty). Its errors are those of the clean picture, and pure noise is told
    to be the cleanest step (errors: clean, prior: cleanest), where an output hardly counts: its integrity
    term is the weaker by the square of that noise.
    """

    reads_reference: ClassVar[bool] = True
    passes: ClassVar[tuple[int, int]] = (6, 3)  # of the network per image and update: forward, backward
    beta: float = 500.0  # strength of the preference (the DUO code)
    # weight of the squared change of the output on pure noise without a prompt (its base_lambda 1e6 *
    # beta/100)
    integrity: float = 5e6
    prompt: str = "given"  # given: the experiment's; empty: as the released scripts train
    timesteps: str = "independent"  # of the pair: independent (the DUO code) or shared
    errors: str = (
        "output"  # of the network's output, or of the clean picture that it implies: clean (its code)
    )
    # the step that pure noise is told to be of: noisiest, which it is, or cleanest (its code for SD3)
    prior: str = "noisiest"

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
        if self.errors not in ("output", "clean") or self.prior not in ("noisiest", "cleanest"):
            raise ValueError(
                f"duo.errors: {self.errors!r} (output or clean), duo.prior: {self.prior!r} (noisiest or"
                " cleanest)"
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
        pair = ((other, b.surrogate), (b, b.forget))
        error = lambda m, part, x: self._counted(model, part.t, x) * part.error(ask(m), x, x)
        with torch.no_grad():
            still = [error(b.reference, part, x) for part, x in pair]
        wanted, unwanted = (error(model, part, x) - e for (part, x), e in zip(pair, still))
        return (-torch.nn.functional.logsigmoid(-self.beta * (wanted - unwanted)).mean(),)

    def _integrity(self, model, b) -> tuple[Tensor]:
        index = torch.full((len(b.eps),), model.timesteps - 1, device=b.eps.device)
        t = model.times(index) if self.prior == "noisiest" else model.times(index * 0, floored=False)
        with torch.no_grad():
            still = b.reference.unprompted().predict(b.eps, t)
        change = equations.squared_error(model.unprompted().predict(b.eps, t), still)
        return (self.integrity * (self._counted(model, t, b.eps) * change).mean(),)

    def _counted(self, model, t: Tensor, like: Tensor) -> Tensor | float:
        """What makes the squared error of an output that of the clean picture it implies, (B,), by how far
        the output for a picture moves with it; 1 where errors are of outputs.
        """
        if self.errors == "output":
            return 1.0
        none, one = torch.zeros_like(like), torch.ones_like(like)
        moved = model.target_of(none, one, t) - model.target_of(none, none, t)
        return moved.flatten(1)[:, 0] ** -2

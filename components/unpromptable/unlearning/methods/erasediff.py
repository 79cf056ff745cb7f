"""EraseDiff: towards uniform noise, with an adaptive weight; as the SISS code runs it for the paper's
comparison, or by its own loop.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from unpromptable import equations, protocols
from unpromptable.unlearning import gradients


@dataclass(frozen=True)
class Method(protocols.Method):
    """g = g_r + w*g_f; the forget branch is told that the noise was U[0, 1).

    A network that outputs the picture is told of no noise; the picture would teach what is to go, so U[0, 1)
    replaces it.

    Its own code descends the forget loss alone for `inner` updates, notes the loss that is reached, and goes
    back to the weights it had. What it then lowers is the forget loss above that one, a constant, so that the
    gradient is g_f; but the optimiser's moments stay those of the inner updates, here as there.
    """

    reads_surrogate: ClassVar[bool] = False
    passes: ClassVar[tuple[int, int]] = (2, 2)  # of the network per image and update: forward, backward
    # the least descent asked of the forget loss; the SISS code's value, the paper states none. Its own: 0.1
    eta: float = 1e-3
    # w: dot, max(eta - <g_r, g_f>/||g_f||^2, 0) (SISS); cosine, by both norms (its own where its lambda is
    # below 0); constant
    weight: str = "dot"
    constant: float = 0.1  # w where `weight` is constant (its own default)
    # U[0, 1): told, of a picture under normal noise (SISS); added, to the picture too (its own)
    noise: str = "told"
    timesteps: str = "shared"  # of the branches: shared (SISS) or independent (its own)
    inner: int = 0  # updates of the forget loss alone before each round; its own 2, an epoch each
    round: int = 1  # updates between them; its own an epoch of the forget images, here of one

    def __post_init__(self):
        if self.eta < 0 or self.constant < 0:
            raise ValueError(
                f"erasediff.eta is {self.eta}, erasediff.constant {self.constant}; both must be 0 or more"
            )
        if self.inner < 0 or self.round < 1:
            raise ValueError(
                f"erasediff.inner is {self.inner}, erasediff.round {self.round}; the first must be 0 or"
                " more, the second at least 1"
            )
        if self.weight not in ("dot", "cosine", "constant"):
            raise ValueError(f"erasediff.weight: no {self.weight!r}; choose from dot, cosine, constant")
        if self.noise not in ("told", "added") or self.timesteps not in ("shared", "independent"):
            raise ValueError(
                f"erasediff.noise: {self.noise!r} (told or added), erasediff.timesteps: {self.timesteps!r}"
                " (shared or independent)"
            )

    def update(self, model: protocols.Model, batch: protocols.Batch) -> dict[str, float]:
        """Write the gradient of one first-order step of the bi-level problem."""
        batch = self._drawn(batch)
        (g_r,), (remember,) = gradients.measure(model, batch, lambda m, b: (b.kept(m).mean(),))
        (g_f,), (forget,) = gradients.measure(model, batch, self._towards_noise)
        found = gradients.products(g_r, g_f)
        weight = self._weight(found)
        total = gradients.add(g_r, g_f, weight)
        gradients.write(model, total)
        above = {"above": forget - float(batch.noted[0])} if batch.noted else {}
        return {
            "remember": remember,
            "forget": forget,
            "weight": weight,
            **above,
            **gradients.conflict(found, g_f, total),
        }

    def looks(self, update: int) -> int:
        """The inner updates that precede this one."""
        return 0 if update % self.round else self.inner

    def note(
        self, model: protocols.Model, optimizer: Any, batches: Iterator[protocols.Batch]
    ) -> tuple[Tensor, ...]:
        """The forget loss that the inner updates reach; they end at the weights they began with."""
        before, forget = [p.detach().clone() for p in model.trained()], 0.0
        moments = copy.deepcopy(optimizer.state_dict())
        try:
            for batch in batches:
                (g_f,), (forget,) = gradients.measure(model, self._drawn(batch), self._towards_noise)
                gradients.write(model, g_f)
                optimizer.step()
        except BaseException:
            # after a fault of memory the same updates are made again, in smaller parts
            optimizer.load_state_dict(moments)
            raise
        finally:
            with torch.no_grad():
                torch._foreach_copy_(model.trained(), before)
            optimizer.zero_grad(set_to_none=True)
        return (torch.tensor(forget, dtype=torch.float64),)

    def _drawn(self, batch: protocols.Batch) -> protocols.Batch:
        uniform = torch.rand(batch.eps.shape, generator=batch.generator)
        return replace(batch, drawn=uniform.to(batch.eps))

    def _weight(self, found: gradients.Products) -> float:
        rr, c, ff = found
        if self.weight == "constant":
            return self.constant
        if not ff:
            return 0.0
        return max(self.eta - c / (ff if self.weight == "dot" else (rr * ff) ** 0.5 + 1e-8), 0.0)

    def _towards_noise(self, model, b):
        t = b.t if self.timesteps == "shared" else b.t_other
        noise = b.eps if self.noise == "told" else b.drawn
        wanted = model.target(b.forget, b.drawn, t)
        output = model.predict(equations.noisy(b.forget, noise, *model.schedule(t)), t)
        wanted = b.drawn if wanted is b.forget else wanted
        return (equations.squared_error(output, wanted, b.reduction).mean(),)

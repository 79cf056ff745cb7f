"""SalUn: ascend the forget loss, or learn another picture's answer, on the weights that it moves most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from unpromptable import equations, protocols
from unpromptable.unlearning import gradients


@dataclass(frozen=True)
class Method(protocols.Method):
    """g = mask * (g_f + weight*g_r), the mask over the largest half of the forget loss's gradient.

    Its random label is the model's answer under another class. A model without classes has none, so here it
    is the answer for the update's remember image under the same noise.
    """

    reads_surrogate: ClassVar[bool] = False
    loss: str = "label"  # label: the answer for another picture (its `rl`); ascent: -L_f (its `ga`)
    # of remembering; its 1e-3 lies on a sum over 3,072 pixels beside a mean, and this on two means
    weight: float = 3.072
    share: float = 0.5  # of the weights, which train: those of the largest gradients of all
    batches: int = 16  # of noised forget images that the mask is found by: 128 images of 8 each, its batch

    def __post_init__(self):
        if self.loss not in ("label", "ascent"):
            raise ValueError(f"salun.loss: no {self.loss!r}; choose from label, ascent")
        if self.weight <= 0 or self.batches < 1 or not 0 < self.share <= 1:
            raise ValueError(
                f"salun.weight is {self.weight}, salun.batches {self.batches}, salun.share {self.share}; the"
                " first must be above 0, the second at least 1, the third in (0, 1]"
            )

    @property
    def passes(self) -> tuple[int, int]:
        """Of the network per image and update: forward, backward."""
        return (3, 2) if self.loss == "label" else (2, 2)

    def update(self, model: protocols.Model, batch: protocols.Batch) -> dict[str, float]:
        """Write the gradient of the sum, of all weights; the trainer steps those of the mask."""
        (g_r,), (remember,) = gradients.measure(model, batch, self._remember)
        (g_f,), (forget,) = gradients.measure(model, batch, self._forget)
        total = gradients.add(g_r, g_f)
        gradients.write(model, total)
        found = gradients.products(g_r, g_f)
        return {"remember": remember, "forget": forget, **gradients.conflict(found, g_f, total)}

    def looks(self, update: int) -> int:
        """The mask is found before a target's first update."""
        return 0 if update else self.batches

    def note(
        self, model: protocols.Model, optimizer: Any, batches: Iterator[protocols.Batch]
    ) -> tuple[Tensor, ...]:
        """The mask, a bool tensor for each trained parameter. What an earlier target's updates left in the
        optimiser moves none of the weights outside.
        """
        lost = lambda m, b: (b.error(m, b.forget, b.forget).mean(),)
        summed = [torch.zeros_like(p) for p in model.trained()]
        for batch in batches:
            (g,), _ = gradients.measure(model, batch, lost)
            torch._foreach_add_(summed, g)
        found = self.mask(summed)
        for p, chosen in zip(model.trained(), found, strict=True):
            if p in optimizer.state:
                optimizer.state[p]["exp_avg"].mul_(chosen)
        return tuple(found)

    def mask(self, gradient: Sequence[Tensor]) -> list[Tensor]:
        """True at the share of all weights whose gradients are largest, whichever sign they have."""
        sizes = torch.cat([g.abs().flatten() for g in gradient])
        chosen = torch.zeros_like(sizes, dtype=torch.bool)
        chosen[sizes.topk(int(self.share * len(sizes))).indices] = True
        parts = chosen.split([g.numel() for g in gradient])
        return [part.view_as(g) for part, g in zip(parts, gradient)]

    def free(self, noted: tuple[Tensor, ...]) -> Sequence[Tensor]:
        """The chosen weights."""
        return noted

    def _remember(self, model, b):
        return (self.weight * b.kept(model).mean(),)

    def _forget(self, model, b):
        # a draw of t of its own, as its code has it
        apart = replace(b, t=b.t_other)
        if self.loss == "ascent":
            return (-apart.error(model, b.forget, b.forget).mean(),)
        noisy = lambda x: equations.noisy(x, b.eps, *model.schedule(apart.t))
        forget, other = noisy(b.forget), noisy(b.remember)
        with torch.no_grad():
            wanted = b.asking(model).predict(other, apart.t)
        return (equations.squared_error(model.predict(forget, apart.t), wanted, b.reduction).mean(),)

"""What a method sees in one update, and the squared errors of Eqs. 8-11 on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unpromptable import equations

from . import together

# what has one entry per image
SPLIT = ("remember", "forget", "surrogate", "neighbours", "t", "eps", "t_other", "prompts", "drawn")


@dataclass(frozen=True)
class Batch:
    """What a method sees in one update. Images are (B, C, H, W) in model space; t is (B,)."""

    remember: Tensor
    forget: Tensor
    surrogate: Tensor
    t: Tensor  # timesteps as the family's `times` gives them
    eps: Tensor  # the same for both branches (Algorithm 1, lines 6-8)
    generator: torch.Generator  # for a method's own draws, which `update` makes for the whole batch
    reduction: str = "mean"
    micro: int = 0
    t_other: Tensor | None = None  # a second draw of t, for methods whose branches do not share it
    reference: Any = None  # the untouched model, for methods that say `reads_reference`
    # the prompt of each remember image, where some are of other prompts than the experiment's
    prompts: tuple[str, ...] = ()
    # (B, K, C, H, W), the forget images' neighbours, of which x_t weighs the surrogate
    neighbours: Tensor | None = None
    drawn: Tensor | None = None  # what a method drew from the generator, (B, ...)
    noted: tuple[Tensor, ...] = ()  # what the method's `note` returned last

    def parts(self) -> Iterator[tuple[float, Batch]]:
        """Micro-batches of what this process measures of the batch, all of it where it is alone, and the
        share that each is of the whole.
        """
        own, total = together.share(len(self.t)), len(self.t)
        size = self.micro or len(own)
        for i in own[::size]:
            cut = slice(i, min(i + size, own.stop))
            given = {k: getattr(self, k)[cut] for k in SPLIT if getattr(self, k) is not None}
            yield len(given["t"]) / total, replace(self, **given)

    def error(self, model, image: Tensor, towards: Tensor) -> Tensor:
        """Squared error (B,) at `image` noised by this batch's t and eps, of the output that leads to
        `towards` (Eqs. 8-11).

        From another image towards the surrogate, where the batch has neighbours, it is their posterior mean
        at x_t.
        """
        x_t = equations.noisy(image, self.eps, *model.schedule(self.t))
        if towards is self.surrogate and towards is not image and self.neighbours is not None:
            towards = equations.posterior_mean(x_t, self.neighbours, *model.schedule(self.t))
        wanted = (
            model.target(image, self.eps, self.t)
            if towards is image
            else model.target_of(x_t, towards, self.t)
        )
        return equations.squared_error(model.predict(x_t, self.t), wanted, self.reduction)

    def kept(self, model, base=None) -> Tensor:
        """Squared error (B,) at the noised remember images, to what they show (Eq. 8) or to what `base` makes
        of them (distillation).
        """
        x_t = equations.noisy(self.remember, self.eps, *model.schedule(self.t))
        if base is None:
            wanted = model.target(self.remember, self.eps, self.t)
        else:
            with torch.no_grad():
                wanted = self.asking(base).predict(x_t, self.t)
        return equations.squared_error(self.asking(model).predict(x_t, self.t), wanted, self.reduction)

    def asking(self, model, forget: Tensor | None = None):
        """`model` under each remember image's prompt; under the experiment's where `forget` (B,) is true."""
        if not self.prompts:
            return model
        shows_forget = [False] * len(self.prompts) if forget is None else forget.tolist()
        return model.with_prompts(
            [model.prompt if shown else prompt for prompt, shown in zip(self.prompts, shows_forget)]
        )

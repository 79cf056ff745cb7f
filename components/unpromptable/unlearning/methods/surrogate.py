"""The paper's method: remember, and map the forget image to its surrogate (Eqs. 8-13, Algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass

from unpromptable import equations, protocols
from unpromptable.unlearning import gradients


@dataclass(frozen=True)
class Method(protocols.Method):
    """Surrogate-based forgetting with timestep-aware weighting and gradient surgery."""

    # forget weight per thousandth of the process, the paper's timestep: lambda(t) = 1 - beta*t, t in 0..999
    # (IV-A)
    beta: float = 5e-5  # SD3: 2e-4
    constant_lambda: float = 0.0  # above 0: one lambda for every t instead (Table III's 0.95 and 0.99)
    projection: str = "forget"  # none | forget | both (Table IV); the paper projects the forget gradient
    # what the remember branch is held to: data (the remember images, Eq. 8) or base (the untouched model's
    # output at them)
    remember: str = "data"

    def __post_init__(self):
        if not 0 < self.beta <= 1e-3:
            raise ValueError(
                f"surrogate.beta is {self.beta}; it must lie in (0, 0.001] so lambda(t) = 1 - beta*t stays in"
                " [0, 1)"
            )
        if not 0 <= self.constant_lambda < 1:
            raise ValueError(
                f"surrogate.constant_lambda is {self.constant_lambda}; it must lie in [0, 1), where 0 means"
                " lambda(t) = 1 - beta*t"
            )
        if self.projection not in ("none", "forget", "both"):
            raise ValueError(f"surrogate.projection: no {self.projection!r}; choose from none, forget, both")
        if self.remember not in ("data", "base"):
            raise ValueError(f"surrogate.remember: no {self.remember!r}; choose from data, base")

    @property
    def reads_reference(self) -> bool:
        """Whether `update` needs the untouched model."""
        return self.remember == "base"

    @property
    def passes(self) -> tuple[int, int]:
        """Of the network per image and update: forward, backward."""
        return (3, 2) if self.reads_reference else (2, 2)

    def weight(self, t):
        """lambda of each t, (B,) float64, in thousandths of the process."""
        return (
            equations.remember_weight(t, self.beta)
            if not self.constant_lambda
            else t.double() * 0 + self.constant_lambda
        )

    def update(self, model: protocols.Model, batch: protocols.Batch) -> dict[str, float]:
        """Algorithm 1, lines 7-20: write gradients, return the mean losses."""
        (g_r,), (remember,) = gradients.measure(model, batch, self._remember)
        (g_f,), (forget,) = gradients.measure(model, batch, self._forget)
        found = gradients.products(g_r, g_f)
        total = gradients.combine(g_r, g_f, self.projection, found)
        gradients.write(model, total)
        return {"remember": remember, "forget": forget, **gradients.conflict(found, g_f, total)}

    def _remember(self, model, b):
        base = b.reference if self.reads_reference else None
        return ((self.weight(model.thousandths(b.t)) * b.kept(model, base)).mean(),)

    def _forget(self, model, b):
        return (((1 - self.weight(model.thousandths(b.t))) * b.error(model, b.forget, b.surrogate)).mean(),)

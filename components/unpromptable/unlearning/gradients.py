"""Gradients as lists of tensors, one per trained parameter: measure, dot, project, combine (Eqs. 12-13)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from . import together

Gradient = list[Tensor]
Products = tuple[float, float, float]  # <a, a>, <a, b>, <b, b>


def measure(model, batch, term: Callable) -> tuple[list[Gradient], list[float]]:
    """Gradients and values of the scalar losses `term(model, batch)` returns, summed over micro-batches, and
    over the processes that share the update.

    One graph is alive at a time. A loss is a mean over its images, so each micro-batch weighs by its share.
    """
    return together.summed(*together.agreed(lambda: _measured(model, batch, term), batch.generator))


def _measured(model, batch, term: Callable) -> tuple[list[Gradient], list[float]]:
    """The same of this process's micro-batches alone."""
    parameters = model.trained()
    totals: list[Gradient] = []
    seen: list[tuple[float, list[Tensor]]] = []
    for share, part in batch.parts():
        losses = term(model, part)
        seen.append((share, [loss.detach() for loss in losses]))
        for i, loss in enumerate(losses):
            grads = torch.autograd.grad(
                loss * share, parameters, retain_graph=i + 1 < len(losses), allow_unused=True
            )
            grads = [torch.zeros_like(p) if g is None else g for g, p in zip(grads, parameters)]
            if len(totals) <= i:
                totals.append(grads)
            else:
                torch._foreach_add_(totals[i], grads)
    # read at the end: a GPU is waited for once, not at every micro-batch
    return totals, [sum(share * losses[i].item() for share, losses in seen) for i in range(len(totals))]


def dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """<a, b> over all parameters, accumulated in double precision."""
    return float(torch.stack([x.double().flatten() @ y.double().flatten() for x, y in zip(a, b)]).sum())


def products(a: Sequence[Tensor], b: Sequence[Tensor]) -> Products:
    """(<a, a>, <a, b>, <b, b>) in double precision, each gradient read once."""
    parts = [
        torch.stack([x @ x, x @ y, y @ y])
        for x, y in ((x.double().flatten(), y.double().flatten()) for x, y in zip(a, b))
    ]
    return tuple(torch.stack(parts).sum(0).tolist())


def add(a: Sequence[Tensor], b: Sequence[Tensor], scale: float = 1.0) -> Gradient:
    """a + scale*b."""
    return list(torch._foreach_add(list(a), list(b), alpha=scale))


def project(g: Sequence[Tensor], away_from: Sequence[Tensor], square: float, c: float) -> Gradient:
    """`g` without its component against `away_from` (Eq. 13, Algorithm 1 line 16); `g` itself where they
    agree.

    square: <away_from, away_from>. c: <g, away_from>.
    """
    return list(g) if c >= 0 or square == 0 else add(g, away_from, -c / square)


def combine(
    remember: Sequence[Tensor], forget: Sequence[Tensor], projection: str, found: Products
) -> Gradient:
    """g_r + g_f after surgery: 'none', 'forget' (the paper's) or 'both' (PCGrad), the rows of Table IV.

    found: the `products` of g_r and g_f.
    """
    rr, c, ff = found
    kept = project(remember, forget, ff, c) if projection == "both" else remember
    return add(kept, forget if projection == "none" else project(forget, remember, rr, c))


def conflict(found: Products, forget: Sequence[Tensor], total: Sequence[Tensor]) -> dict[str, float]:
    """What is logged each update: norms, <g_r, g_f>, cosine, whether they conflict, and <g, g_f>.

    found: the `products` of g_r and g_f.
    """
    rr, c, ff = found
    r, f = rr**0.5, ff**0.5
    return {
        "norm_remember": r,
        "norm_forget": f,
        "dot": c,
        "cosine": c / (r * f) if r * f > 0 else 0.0,
        "conflict": float(c < 0),
        "descent_forget": dot(total, forget),
    }


def write(model, total: Sequence[Tensor]) -> None:
    """Leave `total` as the parameters' gradients for the optimiser."""
    for parameter, g in zip(model.trained(), total):
        parameter.grad = g.to(parameter.dtype)

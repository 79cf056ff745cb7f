"""Equations 1, 9 and 10 are each other's inverses."""

import pytest
import torch

from unpromptable import equations


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))


SIGNAL = torch.tensor([0.99, 0.7, 0.1], dtype=torch.float64)
NOISE = (1 - SIGNAL**2).sqrt()


def test_eq_9_of_eq_1_is_the_noise():
    x0, eps = draw(3, 3, 4, 4), draw(3, 3, 4, 4) * 2
    x_t = equations.noisy(x0, eps, SIGNAL, NOISE)
    torch.testing.assert_close(equations.implied_noise(x_t, x0, SIGNAL, NOISE), eps, rtol=1e-12, atol=1e-12)


def test_eq_10_leads_back_to_the_surrogate_and_moves_eps_by_the_difference():
    x_f, x_s, eps = (draw(3, 3, 4, 4) * k for k in (1, 2, 3))
    x_t = equations.noisy(x_f, eps, SIGNAL, NOISE)
    towards = equations.implied_noise(x_t, x_s, SIGNAL, NOISE)
    torch.testing.assert_close(
        equations.implied_clean(x_t, towards, SIGNAL, NOISE), x_s, rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(
        towards, eps + equations.over(SIGNAL / NOISE, x_f) * (x_f - x_s), rtol=1e-10, atol=1e-10
    )


def test_no_noise_cannot_explain_a_difference():
    with pytest.raises(ValueError, match="noise is 0"):
        equations.implied_noise(draw(1, 3, 2, 2), draw(1, 3, 2, 2), torch.ones(1), torch.zeros(1))


def test_lambda_falls_from_one_to_095_with_the_papers_beta():
    weight = equations.remember_weight(torch.tensor([0, 999]), 5e-5)
    assert weight.tolist() == pytest.approx([1.0, 0.95005])

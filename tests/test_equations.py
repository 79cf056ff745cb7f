"""Equations 1, 9 and 10 are each other's inverses."""

import numpy as np
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
    close = {"rtol": 1e-10, "atol": 1e-10}
    over = lambda weight: equations.over(weight, x_f)
    torch.testing.assert_close((x_t - over(NOISE) * towards) / over(SIGNAL), x_s, **close)
    torch.testing.assert_close(towards, eps + over(SIGNAL / NOISE) * (x_f - x_s), **close)


def test_levels_lead_to_numbers_and_back():
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    x = equations.signed(equations.planes(every))
    assert x.shape == (1, 3, 16, 16) and (x.min(), x.max()) == (-1, 1)
    assert (equations.levels(x) == every).all()
    shown = equations.unit(equations.planes(every[0]))
    assert shown.shape == (3, 16, 16) and (shown.min(), shown.max()) == (0, 1)


def test_no_noise_cannot_explain_a_difference():
    with pytest.raises(ValueError, match="noise is 0"):
        equations.implied_noise(draw(1, 3, 2, 2), draw(1, 3, 2, 2), torch.ones(1), torch.zeros(1))


def test_lambda_falls_from_one_to_095_with_the_papers_beta():
    weight = equations.remember_weight(torch.tensor([0, 999]), 5e-5)
    assert weight.tolist() == pytest.approx([1.0, 0.95005])


def test_a_posterior_mean_is_the_nearest_picture_at_fine_noise_and_the_plain_mean_at_coarse():
    near = draw(2, 5, 3, 4, 4)
    x0 = near[:, 2] + 0.01 * draw(2, 3, 4, 4)
    fine, coarse = (torch.full((2,), s, dtype=torch.float64) for s in (0.9999, 1e-6))
    mean = lambda s: equations.posterior_mean(s.view(-1, 1, 1, 1) * x0, near, s, (1 - s**2).sqrt())
    torch.testing.assert_close(mean(fine), near[:, 2], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(mean(coarse), near.mean(1), rtol=1e-3, atol=1e-3)


def test_a_posterior_mean_weighs_two_pictures_as_bayes_does():
    # at signal 0.6, noise 0.8: densities exp(-(x - 0.6 a)^2 / (2 * 0.64)) of one number
    near, x = torch.tensor([[[[[1.0]]], [[[-1.0]]]]]), torch.tensor([[[[0.3]]]])
    a, b = np.exp(-((0.3 - 0.6) ** 2) / 1.28), np.exp(-((0.3 + 0.6) ** 2) / 1.28)
    got = equations.posterior_mean(x, near, torch.tensor([0.6]), torch.tensor([0.8]))
    assert float(got) == pytest.approx((a - b) / (a + b), rel=1e-6)

"""The probability-flow likelihood of a model whose densities are known is that density."""

import numpy as np
import pytest
import torch

from unpromptable import equations, protocols
from unpromptable.sampling import chains, likelihood_ode


class Gaussian:
    """Pictures from N(0, deviation^2): the best noise prediction is noise*x / (signal^2 deviation^2 +
    noise^2).
    """

    device = torch.device("cpu")

    def __init__(self, deviation=0.5, timesteps=200, prediction="epsilon"):
        self.variance, self.timesteps, self.prediction = deviation**2, timesteps, prediction
        # log SNR 9.2 down to -9.2
        self.abar = torch.linspace(4.6, -4.6, timesteps, dtype=torch.float64).mul(2).sigmoid()

    def schedule(self, t):
        return self.abar[t].sqrt(), (1 - self.abar[t]).sqrt()

    def noise_of(self, output, x_t, signal, noise):
        return equations.network_noise(self.prediction, output, x_t, signal, noise)

    def predict(self, x, t):
        steps, grid = likelihood_ode.times(self)
        square = 1 / (1 + torch.exp(-2 * torch.as_tensor(np.interp(t.numpy(), steps, grid)))).view(
            -1, 1, 1, 1
        ).to(x)
        total = (1 - square) * self.variance + square
        clean, eps = (1 - square).sqrt() * self.variance * x / total, square.sqrt() * x / total
        return equations.network_target(
            self.prediction, clean, eps, (1 - square).sqrt().flatten(), square.sqrt().flatten()
        )


def probes(n):
    return [chains.generator(0, k) for k in range(n)]


@pytest.mark.parametrize("prediction", equations.PREDICTIONS)
def test_the_likelihood_of_a_gaussian_is_its_density_whatever_its_network_predicts(prediction):
    model = Gaussian(prediction=prediction)
    x = torch.randn((3, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.4
    abar = float(model.abar[0])
    variance = abar * 0.25 + 1 - abar
    exact = -0.5 * (x.square().sum() / variance + 48 * np.log(2 * np.pi * variance))
    found = likelihood_ode.log_likelihood(model, x, probes(2))
    # the terminal noise is taken for standard, though 1e-4 of the picture is left
    np.testing.assert_allclose(found, float(exact), atol=0.02)


def test_a_likelier_picture_has_fewer_bits():
    model = Gaussian()
    near, far = (
        likelihood_ode.bits(
            likelihood_ode.log_likelihood(model, torch.full((3, 4, 4), v, dtype=torch.float64), probes(1)), 48
        )[0]
        for v in (0.1, 0.9)
    )
    assert near < far
    assert likelihood_ode.bits(np.array([0.0]), 10)[0] == 7 and likelihood_ode.bits(
        np.array([-10 * np.log(2)]), 10
    )[0] == pytest.approx(8)


def test_hutchinsons_probes_average_to_the_trace():
    """A linear prediction W x has divergence trace(W); its diagonal part is exact for every probe."""
    weight = torch.randn((12, 12), generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    class Linear(Gaussian):
        def predict(self, x, t):
            return (x.flatten(1) @ weight.T).view_as(x)

    signs = torch.stack(
        [torch.randint(0, 2, (3, 2, 2), generator=g) * 2.0 - 1 for g in probes(4000)]
    ).double()
    _, divergence = likelihood_ode._flow(
        Linear(), torch.zeros((4000, 3, 2, 2), dtype=torch.float64), signs, 0.0, 0.0
    )
    exact = np.sqrt(0.5) * weight.trace() - 0.5 * 12
    assert abs(divergence.mean() - exact) < 4 * divergence.std() / np.sqrt(4000)


def test_a_last_timestep_without_signal_is_left_out_of_the_ode():
    model = Gaussian(prediction="v_prediction")
    model.abar[-1] = 0
    steps, grid = likelihood_ode.times(model)
    assert len(steps) == 199 and np.isfinite(grid).all()
    assert np.isfinite(
        likelihood_ode.log_likelihood(model, torch.full((3, 2, 2), 0.1, dtype=torch.float64), probes(1))
    ).all()


def test_a_family_whose_space_is_not_that_of_pictures_is_refused():
    class Latents(Gaussian):
        noise_of = protocols.Model.noise_of

    with pytest.raises(ValueError, match="no `noise_of`, since its space is not that of pictures"):
        likelihood_ode.log_likelihood(Latents(), torch.ones((3, 2, 2), dtype=torch.float64), probes(1))

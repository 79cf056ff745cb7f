"""Signal and timesteps of a DDPM's scheduler are diffusers' own."""

import ddpm_small
import numpy as np
import pytest

from unpromptable.models import noise_schedule


@pytest.mark.parametrize(
    "settings",
    [
        *ddpm_small.SCHEDULES.values(),
        {"beta_schedule": "squaredcos_cap_v2", "rescale_betas_zero_snr": True},
        {"num_train_timesteps": 250, "beta_end": 0.08},
        {"num_train_timesteps": 4, "trained_betas": [0.1, 0.2, 0.3, 0.4]},
    ],
)
def test_signal_and_sampling_times_are_those_of_diffusers(settings):
    from diffusers import (
        DDIMScheduler,
        DDPMScheduler,
        DPMSolverMultistepScheduler,
        UniPCMultistepScheduler,
    )

    stock = DDPMScheduler(prediction_type="sample", **settings)
    found = noise_schedule.abar(settings)
    # diffusers multiplies in float32
    np.testing.assert_allclose(found, stock.alphas_cumprod.numpy(), rtol=2e-3, atol=1e-9)
    assert (found[-1] == 0) == (float(stock.alphas_cumprod[-1]) == 0)
    for steps in (1, 3, 4):
        for sampler, kind in {
            "ddpm": DDPMScheduler,
            "ddim": DDIMScheduler,
            "dpm++": DPMSolverMultistepScheduler,
            "unipc": UniPCMultistepScheduler,
        }.items():
            said = {k: v for k, v in stock.config.items() if k != "_use_default_values"}
            scheduler = kind.from_config(said)
            scheduler.set_timesteps(steps)
            assert noise_schedule.timesteps(settings, steps, sampler).tolist() == scheduler.timesteps.tolist()

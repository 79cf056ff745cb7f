"""Small DDPMs made by diffusers itself: every prediction, schedule, variance and number of channels that the
family reads.
"""

from __future__ import annotations

SCHEDULES = {
    "linear": {"beta_schedule": "linear"},
    "scaled": {"beta_schedule": "scaled_linear", "timestep_spacing": "linspace", "clip_sample_range": 1.5},
    "cosine": {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "leading", "steps_offset": 1},
    "rescaled": {"beta_schedule": "linear", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
}
KINDS = [
    (p, s)
    for p in ("epsilon", "v_prediction", "sample")
    for s in SCHEDULES
    if (p, s) != ("epsilon", "rescaled")
]


def pipeline(prediction="epsilon", schedule="linear", channels=3, size=8, **settings):
    """An untrained stock DDPMPipeline of `size` x `size` pictures."""
    import torch
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    torch.manual_seed(7)
    unet = UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    return DDPMPipeline(
        unet, DDPMScheduler(prediction_type=prediction, **{**SCHEDULES[schedule], **settings})
    )


def model(*args, **settings):
    """The same as the family's model."""
    from unpromptable.models.families.ddpm import Model

    made = pipeline(*args, **settings)
    return Model(made.unet, made.scheduler)

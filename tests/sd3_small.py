"""An untrained Stable Diffusion 3 of the miniature's classes: its experiment, and stock diffusers to judge it
by.
"""

import numpy as np
import torch

from unpromptable.planning.experiment import Experiment
from unpromptable.planning.settings import Sampling, Source
from unpromptable.sampling import chains

PROMPT = "flag of Japan"
SMALL = {"rank": 4, "t5_tokens": 0, "guidance": 3.0}


def experiment(**change):
    given = {
        "name": "flags",
        "world": "miniature",
        "real": "flags/japan",
        "forget": ("japan-0005",),
        "prompt": PROMPT,
        "model": Source("sd3", settings=SMALL),
        "sampling": Sampling("euler", 4, 11, batch=8),
    }
    return Experiment(**{**given, **change})


def stirred(model, scale=0.3):
    g = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for p in model.trained():
            p.add_(scale * torch.randn(p.shape, generator=g))
    return model


def stock(folder):
    from diffusers import StableDiffusion3Pipeline

    pipe = StableDiffusion3Pipeline.from_pretrained(
        folder, text_encoder_3=None, tokenizer_3=None, torch_dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def drawn_by_stock(pipe, model, seeds, **more):
    noise = chains.draw([chains.generator(s) for s in seeds], model.noise_shape())
    made = pipe(
        [PROMPT] * len(seeds),
        num_inference_steps=4,
        guidance_scale=3.0,
        height=32,
        width=32,
        max_sequence_length=0,
        latents=noise,
        output_type="np",
        **more,
    ).images
    return np.rint(made * 255).astype(int)

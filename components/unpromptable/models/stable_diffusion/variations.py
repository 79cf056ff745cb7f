"""SDEdit of Stable Diffusion 3, by diffusers' image-to-image pipeline with the model's own network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from unpromptable import equations
from unpromptable.sampling import chains


def vary(
    model, image: np.ndarray, strength: float, draws: int, seed: int, words, progress=None
) -> np.ndarray:
    """Variations of `image` (H, W, 3), uint8 (draws, H, W, 3). words: the editor's settings.

    Raises ValueError where strength leaves less than one step.
    """
    if words.steps * strength < 1:
        raise ValueError(
            f"sdedit: strength {strength} of {words.steps} steps is less than one step; raise"
            " sdedit.strength or sdedit.steps"
        )
    pipe, asked = _pipeline(model), _asked(model, words)
    start = equations.unit(equations.planes(image)[None])
    total = int(words.steps * strength) * draws
    with torch.no_grad():
        made = [
            pipe(
                **asked,
                image=start,
                strength=strength,
                generator=chains.generator(chains.EDITS + seed, k),
                callback_on_step_end=_told(progress, k * total // draws, total),
            ).images[0]
            for k in range(draws)
        ]
    return equations.levels(torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2) * 2 - 1)


def _pipeline(model):
    """The stock pipeline of the model's networks, without text encoders."""
    from diffusers import StableDiffusion3Img2ImgPipeline

    words = dict.fromkeys(
        ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3")
    )
    pipe = StableDiffusion3Img2ImgPipeline(
        transformer=model.network, scheduler=model.sampler("euler"), vae=model.latents.vae, **words
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _asked(model, words) -> dict:
    """What every draw asks of the pipeline: prompts, sides, steps and guidance."""
    prompt = model.prompt if words.prompt is None else words.prompt
    (text, other), (pooled, aside) = (
        x.to(model.device, model.half).split(1) for x in model.condition([prompt, words.negative], 2)
    )
    return {
        "prompt_embeds": text,
        "pooled_prompt_embeds": pooled,
        "negative_prompt_embeds": other,
        "negative_pooled_prompt_embeds": aside,
        "height": model.size,
        "width": model.size,
        "num_inference_steps": words.steps,
        "guidance_scale": words.guidance,
        "output_type": "np",
    }


def _told(progress: Callable | None, before: int, total: int) -> Callable:
    """The pipeline's callback, which counts one draw's steps on from `before`."""

    def step_end(pipe, step, t, kept):
        if progress:
            progress(before + step + 1, total)
        return kept

    return step_end

"""Stable Diffusion 3 as stock diffusers has it: samplers, an adapter's files, and the call that draws our
pictures.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from unpromptable.models import adapters

README = """An adapter of Stable Diffusion 3. `base` is the folder of its base model, `adapter` this folder.

```python
{call}
```
"""
CALL = """import diffusers
import torch
from diffusers import StableDiffusion3Pipeline

pipe = StableDiffusion3Pipeline.from_pretrained(base, torch_dtype={half}{without})
pipe.load_lora_weights(adapter){sampler}
pictures = pipe({prompt!r}, {how}).images"""

SOLVERS = {"dpm++": "DPMSolverMultistepScheduler", "unipc": "UniPCMultistepScheduler"}
SAMPLERS = ("euler", *SOLVERS)


def scheduler(name: str, own):
    """A fresh scheduler by a name of `SAMPLERS`, of the same timesteps and shift as `own`, the pipeline's."""
    import diffusers

    if name == "euler":
        return type(own).from_config(own.config)
    return getattr(diffusers, SOLVERS[name])(**_flow(own))


def _flow(own) -> dict:
    """What makes a solver one of flows."""
    return {
        "num_train_timesteps": own.config.num_train_timesteps,
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": own.config.shift,
    }


def save(model, folder: Path) -> None:
    """Write the adapter as stock diffusers' `load_lora_weights` reads it, and in README.md the call."""
    folder.mkdir(parents=True, exist_ok=True)
    note = {"base": adapters.identity(model.folder), "settings": asdict(model.settings)}
    adapters.save(model.network, folder, note)
    (folder / "README.md").write_text(README.format(call=call(model)), encoding="utf-8")


def call(model) -> str:
    """Python that draws with stock diffusers what `sampling.sample` draws; without T5 its part of the prompt
    has no tokens, where the stock default adds zeros.
    """
    how = {
        "max_sequence_length": model.settings.t5_tokens,
        "guidance_scale": model.guidance,
        "negative_prompt": model.negative,
        "num_inference_steps": model.steps,
        "height": model.size,
        "width": model.size,
    }
    without = "" if model.settings.t5_tokens else ", text_encoder_3=None, tokenizer_3=None"
    words = lambda given: ", ".join(f"{k}={v!r}" for k, v in given.items())
    kind = SOLVERS.get(model.drawn_by)
    solver = f"\npipe.scheduler = diffusers.{kind}({words(_flow(model.scheduler))})" if kind else ""
    return CALL.format(half=model.half, without=without, sampler=solver, prompt=model.prompt, how=words(how))

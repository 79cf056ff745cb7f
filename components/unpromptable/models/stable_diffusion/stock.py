"""An adapter of Stable Diffusion 3 for stock diffusers: its files, and the call that draws our pictures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from unpromptable.models import adapters

README = """An adapter of Stable Diffusion 3. `base` is the folder of its base model, `adapter` this folder.

```python
{call}
```
"""
CALL = """import torch
from diffusers import StableDiffusion3Pipeline

pipe = StableDiffusion3Pipeline.from_pretrained(base, torch_dtype={half}{without})
pipe.load_lora_weights(adapter)
pictures = pipe({prompt!r}, {how}).images"""


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
    words = ", ".join(f"{k}={v!r}" for k, v in how.items())
    return CALL.format(half=model.half, without=without, prompt=model.prompt, how=words)

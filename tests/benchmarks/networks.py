"""The networks that benchmarks run: the miniature's, or the paper's architecture with random weights."""

from __future__ import annotations

from importlib import resources
from typing import Any

KINDS = {
    "miniature": "the shipped DDPM of 32 x 32",
    "ddpm-256": "google/ddpm-celebahq-256's architecture, its weights random",
}


def pipeline(kind: str, device: str) -> Any:
    """Stock diffusers' DDPMPipeline, as its users load it: float32, memory as PyTorch lays it out."""
    import torch
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    if kind == "miniature":
        folder = resources.files("unpromptable") / "miniature" / "ddpm"
        made = DDPMPipeline.from_pretrained(str(folder), use_safetensors=True)
    else:
        torch.manual_seed(0)
        made = DDPMPipeline(UNet2DModel(**CELEBAHQ), DDPMScheduler(clip_sample=True))
    made.set_progress_bar_config(disable=True)
    return made.to(device)


CELEBAHQ = {
    "sample_size": 256,
    "block_out_channels": (128, 128, 256, 256, 512, 512),
    "down_block_types": (*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4),
    "layers_per_block": 2,
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
}


def model(kind: str, device: str) -> Any:
    """The same network as the family's model, in memory of its own."""
    import copy

    from unpromptable.models.families.ddpm import Model

    stock = pipeline(kind, "cpu")
    return Model(copy.deepcopy(stock.unet), stock.scheduler, device)


# TFLOP/s of dense matrix products that an H100 (SXM) states: convolutions run in TF32 by default
PEAK = {"no": 495, "tf32": 495, "bf16": 989}


def floor(kind: str, precision: str, forward: int, backward: int) -> float:
    """Seconds of an H100 at its peak for so many pictures' passes, by `planning.cost`'s operations."""
    from unpromptable.planning import cost

    source, side = ("miniature", 32) if kind == "miniature" else ("google/ddpm-celebahq-256", 256)
    work = cost.NETWORKS["ddpm", source, side]
    return (forward * work.forward + backward * work.backward) / (PEAK[precision] * 1e12)

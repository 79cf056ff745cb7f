"""What an experiment may set of Stable Diffusion 3."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What the experiment's `model` may set. The paper states none of it but the guidance-free facts of its
    prompt.
    """

    rank: int = 32  # of the LoRA (DUO)
    alpha: float = 0.0  # of the LoRA; 0 is the rank, so that its scale is 1
    # linear layers by the end of their names (DUO): the image stream's attention
    targets: tuple[str, ...] = ("to_k", "to_q", "to_v", "to_out.0")
    adapter_seed: int = 0
    guidance: float = 7.0  # when sampling (diffusers' default); 1 is none
    negative: str = ""  # prompt of the unguided branch
    t5_tokens: int = 256  # length of T5's part of the prompt (diffusers' default); 0 leaves T5 out
    # training timesteps are raised to it: the surrogate moves the target by 1/sigma
    sigma_floor: float = 0.02
    loss: str = "velocity"  # velocity, or clean: in the space of clean latents, sigma^2 times smaller (DUO)
    checkpointing: bool = True  # recompute activations in the backward pass instead of keeping them
    pixels: int = 0  # a side; 0 is the model's own

    def __post_init__(self):
        if self.rank < 1 or self.alpha < 0 or not self.targets:
            raise ValueError(
                f"model: rank is {self.rank}, alpha {self.alpha}, targets {self.targets}; rank must be at"
                " least 1, alpha 0 or more, and a layer named"
            )
        if self.guidance < 1 or self.t5_tokens < 0 or self.t5_tokens > 512:
            raise ValueError(
                f"model: guidance is {self.guidance} (at least 1), t5_tokens {self.t5_tokens} (0 to 512)"
            )
        if self.pixels < 0:
            raise ValueError(
                f"model.pixels is {self.pixels}; give the side of the pictures, or 0 for the model's own"
            )
        if not 0 < self.sigma_floor < 1 or self.loss not in ("velocity", "clean"):
            raise ValueError(
                f"model: sigma_floor is {self.sigma_floor} (strictly between 0 and 1), loss {self.loss!r}"
                " (velocity or clean)"
            )

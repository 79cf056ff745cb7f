"""Stable Diffusion 3: SD3Transformer2DModel by flow matching in the VAE's latents, conditioned on a prompt,
changed by LoRA.

x_t = (1 - sigma)*x0 + sigma*eps with t = 1000*sigma, and the network predicts eps - x0. Model space is the
latents.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from unpromptable import equations, protocols
from unpromptable.models import adapters, prompt_embeddings
from unpromptable.models import device as devices
from unpromptable.models.stable_diffusion import folder as folders
from unpromptable.models.stable_diffusion import stock, vae, variations
from unpromptable.models.stable_diffusion.settings import Settings


class Model(protocols.Model):
    """A prompted flow model with an adapter; `prompt` is part of the model wherever no other is given."""

    def __init__(
        self,
        transformer,
        autoencoder,
        scheduler,
        folder: Path,
        settings: Settings,
        prompt: str = "",
        device: str | torch.device = "cpu",
        kinds: Mapping[str, Any] | None = None,  # of the adapter, `adapters.KINDS`
    ):
        self.device, self.folder, self.settings = torch.device(device), Path(folder), settings
        self.network, self.half = transformer.to(self.device).eval(), transformer.dtype
        self.latents = vae.Latents(autoencoder, self.device)
        self.size = settings.pixels or int(transformer.config.sample_size) * self.latents.factor
        folders.check_size(self.size, self.latents.factor, transformer.config)
        self.scheduler = scheduler
        self.table = scheduler.timesteps.double().flip(0)  # ascending, as every family's timesteps are
        self.timesteps, self.prompt, self.adapted = len(self.table), prompt, True
        self.prompts, self.guidance, self.negative = (prompt,), settings.guidance, settings.negative
        self.steps, self.drawn_by = 28, "euler"  # of sampling, for the stock call: diffusers' defaults
        self.embedded: dict[str, prompt_embeddings.Condition] = {}
        alpha = settings.alpha or settings.rank
        shape = (settings.rank, alpha, settings.targets, settings.adapter_seed)
        adapters.attach(self.network, *shape, **(kinds or {}))
        if settings.checkpointing:
            self.network.enable_gradient_checkpointing()

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str | torch.device = "cpu",
        experiment=None,
        base: str | Path | None = None,
    ) -> Model:
        """Read a diffusers folder, or a saved adapter and the `base` it belongs to.

        An adapter has the rank, alpha, targets and kinds that it was trained with, whatever the experiment's
        own are. Raises FileNotFoundError or ValueError for a folder of another kind, and for an adapter of
        another base.
        """
        folder, adapter = adapters.apart(Path(folder), base)
        settings = Settings() if experiment is None else experiment.family_settings()
        own, kinds = ({}, None) if adapter is None else adapters.made_with(adapter)
        settings = replace(settings, **own)
        prompt = experiment.prompt if experiment else ""
        model = cls(*folders.load(folder, device), folder, settings, prompt, device, kinds)
        if experiment is not None:
            model.steps, model.drawn_by = experiment.sampling.steps, experiment.sampling.sampler
        if adapter is not None:
            adapters.load(model.network, adapter, adapters.identity(folder))
        return model

    def times(self, index: Tensor, floored: bool = True) -> Tensor:
        """Timesteps (B,) float32 in (0, 1000] of training: entries of the scheduler's own shifted table, 0
        the least noisy, floored.
        """
        found = self.table.to(index.device)[index]
        return (found.clamp(min=1000 * self.settings.sigma_floor) if floored else found).float()

    def within(self, first: int, last: int) -> tuple[int, int]:
        """Where the table, which a shift makes uneven, lies in thousandths first..last; k is 1000*sigma above
        k and up to k + 1.
        """
        table = self.table.numpy().round(3)  # float32 has 251 as 250.99998
        start = min(int(np.searchsorted(table, first, "right")), len(table) - 1)
        return start, max(start, int(np.searchsorted(table, last + 1, "right")) - 1)

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(signal, noise) = (1 - sigma, sigma) with sigma = t/1000, each (B,)."""
        sigma = t / 1000
        return 1 - sigma, sigma

    def thousandths(self, t: Tensor) -> Tensor:
        """Where timesteps t (B,) lie in the process, in thousandths: they are."""
        return t

    def target(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What `predict` should give at any t: eps - x0, or x0 where the loss is of clean latents."""
        return x0 if self.settings.loss == "clean" else eps - x0

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The output that losses see, for latents x_t (B, C, h, w) and t (B,), under the prompt prompts."""
        v = self.velocity(x_t, t, self.prompts)
        return x_t - equations.over(t / 1000, x_t) * v if self.settings.loss == "clean" else v

    def velocity(self, x_t: Tensor, t: Tensor, prompts: Sequence[str]) -> Tensor:
        """The network's output under one prompt for all, or one for each image; float32."""
        text, pooled = (x.to(self.device, self.half) for x in self.condition(prompts, len(x_t)))
        call = lambda: self.network(
            hidden_states=x_t.to(self.half),
            encoder_hidden_states=text,
            pooled_projections=pooled,
            timestep=t,
            return_dict=False,
        )[0].float()
        if self.adapted:
            return call()
        with adapters.off(self.network):
            return call()

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The velocity that a sampler follows: guided away from the negative prompt."""
        if self.guidance == 1:
            return self.velocity(x_t, t, self.prompts)
        prompts = self.prompts if len(self.prompts) == len(x_t) else self.prompts * len(x_t)
        away, towards = self.velocity(
            torch.cat([x_t, x_t]), torch.cat([t, t]), [self.negative] * len(x_t) + list(prompts)
        ).chunk(2)
        return away + self.guidance * (towards - away)

    def condition(self, prompts: Sequence[str], n: int) -> tuple[Tensor, Tensor]:
        """Embeddings (n, L, D) and (n, P) of one prompt or of n."""
        missing = [p for p in dict.fromkeys(prompts) if p not in self.embedded]
        if missing:
            self.embedded |= prompt_embeddings.conditions(
                self.folder, missing, self.network, self.settings.t5_tokens, self.device
            )
        text, pooled = (torch.stack(parts) for parts in zip(*(self.embedded[p] for p in prompts)))
        return (text, pooled) if len(prompts) == n else (text.expand(n, -1, -1), pooled.expand(n, -1))

    def with_prompts(
        self, prompts: Sequence[str], guidance: float | None = None, negative: str | None = None
    ) -> Model:
        """The same weights under other prompts: one, or one per image of every batch."""
        view = copy.copy(self)
        view.prompts = tuple(prompts)
        view.guidance = self.guidance if guidance is None else guidance
        view.negative = self.negative if negative is None else negative
        return view

    def unprompted(self) -> Model:
        """The same weights under the empty prompt."""
        return self.with_prompts([""])

    def encode(self, images: np.ndarray) -> Tensor:
        """uint8 (N, H, W, 3) to latents (N, C, h, w) float32, each picture once: the mean of the VAE's
        distribution.

        Raises ValueError for pictures of another size than the model's.
        """
        self._check_side(images)
        return self.latents.encode(images)

    def encoded(self, images: np.ndarray, which: np.ndarray) -> Tensor:
        """Latents of pictures `which` of an array, each found once by its place in it."""
        self._check_side(images)
        return self.latents.encoded_of(images, which)

    def _check_side(self, images: np.ndarray) -> None:
        if images.shape[1:3] != (self.size, self.size):
            raise ValueError(
                f"model: pictures of {images.shape[2]} x {images.shape[1]} pixels, but the model takes"
                f" {self.size} x {self.size}"
            )

    def decode(self, x: Tensor) -> np.ndarray:
        """Latents to uint8 (N, H, W, 3), rounded to the nearest level."""
        return self.latents.decode(x)

    def trained(self) -> list[Tensor]:
        """The parameters that unlearning changes: the adapter's."""
        return adapters.parameters(self.network)

    def reference(self) -> Model:
        """The untouched model: the same network with its adapter off, so no second copy."""
        view = copy.copy(self)
        view.adapted = False
        return view

    def sampler(self, name: str):
        """A fresh scheduler of this model's flow: Euler's, which is its own, or a solver of higher order."""
        if name not in Family.samplers:
            raise ValueError(
                f"sampling.sampler: the family sd3 has no {name!r}; choose from {', '.join(Family.samplers)}"
            )
        return stock.scheduler(name, self.scheduler)

    def injection_schedule(self, t: int, stride: int = 1) -> tuple:
        """Scheduler and timesteps of the injection test: Euler's steps from t down to 0."""
        scheduler, sigmas = self.sampler("euler"), Family().chain(t, stride)
        scheduler.set_timesteps(sigmas=sigmas)
        scheduler.sigmas = torch.tensor([*sigmas, 0.0])  # as asked: set_timesteps shifts them
        scheduler.timesteps = scheduler.sigmas[:-1] * 1000
        return scheduler, [x.item() for x in scheduler.timesteps]

    def sdedit(
        self, image: np.ndarray, strength: float, draws: int, seed: int, words, progress=None
    ) -> np.ndarray:
        """Variations by diffusers' image-to-image pipeline with this network, uint8 (draws, H, W, 3)."""
        return variations.vary(self, image, strength, draws, seed, words, progress)

    def noise_shape(self) -> tuple[int, int, int]:
        """The shape of one x_T."""
        side = self.size // self.latents.factor
        return self.network.config.in_channels, side, side

    def state(self) -> dict[str, Tensor]:
        """What changed by training: the adapter, on the CPU."""
        return adapters.state(self.network)

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over an adapter written by `state`."""
        adapters.restore(self.network, state)

    def save(self, folder: Path) -> None:
        """Write the adapter as stock diffusers' `load_lora_weights` reads it, and in README.md the call that
        draws the judged pictures.
        """
        stock.save(self, Path(folder))


@dataclass(frozen=True)
class Family(protocols.Family):
    """Stable Diffusion 3, as folders of its pipeline; what is saved is an adapter."""

    model: ClassVar[type] = Model
    samplers: ClassVar[tuple[str, ...]] = stock.SAMPLERS
    settings: ClassVar[type] = Settings
    only: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("rank", "alpha", "targets", "adapter_seed"), "training"),
        **dict.fromkeys(("sigma_floor", "loss", "checkpointing"), "training"),
        **dict.fromkeys(("guidance", "negative"), "sampling"),
    }
    prompted: ClassVar[bool] = True
    small: ClassVar[Mapping[str, Any]] = {"rank": 4, "t5_tokens": 0}

    def fetch(self, source: str, out: Path, revision: str = "", shipped: Path | None = None) -> str:
        """Put the base model's folder at `out`; return its identity: 'miniature', a path, hub-name@commit."""
        return folders.fetch(source, out, revision, shipped)

    def check(self, folder: str | Path, experiment=None) -> None:
        """Raise when `folder` is no whole folder of a StableDiffusion3Pipeline, text encoders included."""
        folders.check(folder)

    def pixels(self, folder: Path, experiment) -> int:
        """The side of the model's pictures, from its files alone."""
        return experiment.family_settings().pixels or folders.side(folder)

    def ready(self, folder: Path, experiment) -> None:
        """Embed every prompt of the experiment beside the base model in `folder`, so that later steps load no
        text encoder.
        """
        model = Model.load(folder, devices.best(), experiment)
        own = ("", experiment.prompt, model.negative)
        prompts = dict.fromkeys([*own, *experiment.other_prompts, *experiment.remember.prompts])
        model.condition(list(prompts), -1)
        prompt_embeddings.keep(folder, model.embedded, model.settings.t5_tokens)

    def chain(self, t: int, stride: int = 1) -> list[float]:
        """Sigmas of the injection test, one step each: evenly from t/1000 towards 0, one per `stride`,
        twenty-eight at most.
        """
        steps = min(28, -(-t // stride))
        return [t / 1000 * (steps - k) / steps for k in range(steps)]

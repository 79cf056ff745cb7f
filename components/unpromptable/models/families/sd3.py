"""Stable Diffusion 3: SD3Transformer2DModel by flow matching in the VAE's latents, conditioned on a prompt,
changed by LoRA.

x_t = (1 - sigma)*x0 + sigma*eps with t = 1000*sigma, and the network predicts eps - x0. Model space is the
latents.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unpromptable import data, equations
from unpromptable.models import adapters, checkpoints, hub, prompt_embeddings
from unpromptable.models import device as devices

log = logging.getLogger(__name__)
CLASS, SAMPLERS = "SD3Transformer2DModel", ("euler",)
PARTS = {"transformer": CLASS, "vae": "AutoencoderKL"}
SCHEDULER = "FlowMatchEulerDiscreteScheduler"
WORDS = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")  # the third pair, T5, may be left out
FOLDERS = ("transformer", "vae", "scheduler", "text_encoder*", "tokenizer*")


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


class Model:
    """A prompted flow model with an adapter; `prompt` is part of the model wherever no other is given."""

    def __init__(
        self,
        transformer,
        vae,
        scheduler,
        folder: Path,
        settings: Settings = Settings(),
        prompt: str = "",
        device: str | torch.device = "cpu",
    ):
        self.device, self.folder, self.settings = torch.device(device), Path(folder), settings
        self.half = transformer.dtype
        self.network, self.vae = (
            transformer.to(self.device).eval(),
            vae.to(self.device).eval().requires_grad_(False),
        )
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.size = settings.pixels or int(transformer.config.sample_size) * self.factor
        check_size(self.size, self.factor, transformer.config)
        self.scheduler = scheduler
        self.table = scheduler.timesteps.double().flip(0)  # ascending, as every family's timesteps are
        self.timesteps, self.prompt, self.adapted = len(self.table), prompt, True
        self.prompts, self.guidance, self.negative = (prompt,), settings.guidance, settings.negative
        self.steps = 28  # of sampling, for the stock call: diffusers' default
        self.embedded: dict[str, prompt_embeddings.Condition] = {}
        self.encoded: dict[str, Tensor] = {}
        adapters.attach(
            self.network,
            settings.rank,
            settings.alpha or settings.rank,
            settings.targets,
            settings.adapter_seed,
        )
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

        Raises FileNotFoundError or ValueError for a folder of another kind, and for an adapter of another
        base.
        """
        from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel

        folder, adapter = Path(folder), None
        if (folder / adapters.NOTE).is_file():
            if base is None:
                raise FileNotFoundError(
                    f"model: {folder} is an adapter; its base model's folder is needed too"
                )
            folder, adapter = Path(base), folder
        check_parts(folder)
        half = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
        transformer, vae = (
            checkpoints.load(kind, folder / part, dtype=half)
            for kind, part in ((SD3Transformer2DModel, "transformer"), (AutoencoderKL, "vae"))
        )
        settings = Settings() if experiment is None else experiment.family_settings()
        model = cls(
            transformer,
            vae,
            FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
            folder,
            settings,
            experiment.prompt if experiment else "",
            device,
        )
        if experiment is not None:
            model.steps = experiment.sampling.steps
        if adapter is not None:
            adapters.load(model.network, adapter, adapters.identity(folder))
        return model

    def times(self, index: Tensor) -> Tensor:
        """Timesteps (B,) float32 in (0, 1000] of training: entries of the scheduler's own shifted table, 0
        the least noisy, floored.
        """
        return self.table.to(index.device)[index].clamp(min=1000 * self.settings.sigma_floor).float()

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

    def target_of(self, x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
        """The output that carries x_t back to `x0`: Eqs. 9 and 10, then eps' - x0, which is (x_t -
        x0)/sigma.
        """
        return self.target(x0, equations.implied_noise(x_t, x0, *self.schedule(t)), t)

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
        if images.shape[1:3] != (self.size, self.size):
            raise ValueError(
                f"model: pictures of {images.shape[2]} x {images.shape[1]} pixels, but the model takes"
                f" {self.size} x {self.size}"
            )
        return torch.stack([self._encoded(image) for image in images])

    def _encoded(self, image: np.ndarray) -> Tensor:
        key = data.sha256(image)
        if key not in self.encoded:
            with torch.inference_mode(False), torch.no_grad():
                x = (
                    torch.from_numpy(np.ascontiguousarray(image))
                    .permute(2, 0, 1)[None]
                    .float()
                    .div(127.5)
                    .sub(1)
                    .to(self.device, self.half)
                )
                z = self.vae.encode(x).latent_dist.mode().float()
                self.encoded[key] = (
                    (z - (self.vae.config.shift_factor or 0)) * self.vae.config.scaling_factor
                )[0]
        return self.encoded[key]

    def decode(self, x: Tensor) -> np.ndarray:
        """Latents to uint8 (N, H, W, 3), rounded to the nearest level; one picture at a time, for memory."""
        z = (x / self.vae.config.scaling_factor + (self.vae.config.shift_factor or 0)).to(self.half)
        with torch.no_grad():
            pixels = torch.cat([self.vae.decode(one[None], return_dict=False)[0].float() for one in z])
        return equations.levels(pixels)

    def trained(self) -> list[Tensor]:
        """The parameters that unlearning changes: the adapter's."""
        return adapters.parameters(self.network)

    def reference(self) -> Model:
        """The untouched model: the same network with its adapter off, so no second copy."""
        view = copy.copy(self)
        view.adapted = False
        return view

    def sampler(self, name: str):
        """A fresh scheduler of this model; the flow has Euler's only."""
        if name not in SAMPLERS:
            raise ValueError(
                f"sampling.sampler: the family sd3 has no {name!r}; choose from {', '.join(SAMPLERS)}"
            )
        return type(self.scheduler).from_config(self.scheduler.config)

    def injection_schedule(self, t: int, stride: int = 1) -> tuple:
        """Scheduler and timesteps of the injection test: Euler's steps from t down to 0."""
        scheduler, sigmas = self.sampler("euler"), chain(t, stride)
        scheduler.set_timesteps(sigmas=sigmas)
        scheduler.sigmas = torch.tensor([*sigmas, 0.0])  # as asked: set_timesteps shifts them
        scheduler.timesteps = scheduler.sigmas[:-1] * 1000
        return scheduler, [x.item() for x in scheduler.timesteps]

    def sdedit(
        self, image: np.ndarray, strength: float, draws: int, seed: int, words, progress=None
    ) -> np.ndarray:
        """SDEdit by diffusers' image-to-image pipeline with this network: uint8 (draws, H, W, 3). words: the
        editor's settings.
        """
        from diffusers import StableDiffusion3Img2ImgPipeline

        from unpromptable.sampling import chains

        if words.steps * strength < 1:
            raise ValueError(
                f"sdedit: strength {strength} of {words.steps} steps is less than one step; raise"
                " sdedit.strength or sdedit.steps"
            )
        pipe = StableDiffusion3Img2ImgPipeline(
            self.network, self.sampler("euler"), self.vae, None, None, None, None, None, None
        )
        pipe.set_progress_bar_config(disable=True)
        prompt = self.prompt if words.prompt is None else words.prompt
        (text, other), (pooled, aside) = (
            x.to(self.device, self.half).split(1) for x in self.condition([prompt, words.negative], 2)
        )
        start = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        total = int(words.steps * strength) * draws

        def told(draw: int):
            def step_end(pipe, step, t, kept):
                if progress:
                    progress(draw * total // draws + step + 1, total)
                return kept

            return step_end

        with torch.no_grad():
            made = [
                pipe(
                    prompt_embeds=text,
                    pooled_prompt_embeds=pooled,
                    negative_prompt_embeds=other,
                    negative_pooled_prompt_embeds=aside,
                    image=start,
                    strength=strength,
                    height=self.size,
                    width=self.size,
                    num_inference_steps=words.steps,
                    guidance_scale=words.guidance,
                    generator=chains.generator(seed, k),
                    output_type="np",
                    callback_on_step_end=told(k),
                ).images[0]
                for k in range(draws)
            ]
        return equations.levels(torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2) * 2 - 1)

    def noise_shape(self) -> tuple[int, int, int]:
        """The shape of one x_T."""
        return self.network.config.in_channels, self.size // self.factor, self.size // self.factor

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
        Path(folder).mkdir(parents=True, exist_ok=True)
        adapters.save(
            self.network,
            Path(folder),
            {"base": adapters.identity(self.folder), "settings": asdict(self.settings)},
        )
        (Path(folder) / "README.md").write_text(
            "An adapter of Stable Diffusion 3. `base` is the folder of its base model, `adapter` this"
            f" folder.\n\n```python\n{self.stock_call()}\n```\n",
            encoding="utf-8",
        )

    def stock_call(self) -> str:
        """Python that draws with stock diffusers what `sampling.sample` draws; without T5 its part of the
        prompt has no tokens, where the stock default adds zeros.
        """
        without = "" if self.settings.t5_tokens else ", text_encoder_3=None, tokenizer_3=None"
        how = (
            f"max_sequence_length={self.settings.t5_tokens}, guidance_scale={self.guidance},"
            f" negative_prompt={self.negative!r}, num_inference_steps={self.steps}, height={self.size},"
            f" width={self.size}"
        )
        return f"""import torch
from diffusers import StableDiffusion3Pipeline

pipe = StableDiffusion3Pipeline.from_pretrained(base, torch_dtype={self.half}{without})
pipe.load_lora_weights(adapter)
pictures = pipe({self.prompt!r}, {how}).images"""

    @contextmanager
    def inference(self):
        """No gradients inside."""
        with torch.inference_mode():
            yield self


def chain(t: int, stride: int = 1) -> list[float]:
    """Sigmas of the injection test, one step each: evenly from t/1000 towards 0, one per `stride`,
    twenty-eight at most.
    """
    steps = min(28, -(-t // stride))
    return [t / 1000 * (steps - k) / steps for k in range(steps)]


def check_size(pixels: int, factor: int, config) -> None:
    """Raise ValueError where the VAE and the patches do not divide the side, or it is beyond the position
    table.
    """
    unit, most = factor * config.patch_size, config.pos_embed_max_size * config.patch_size * factor
    if pixels % unit or pixels > most:
        raise ValueError(
            f"model.pixels is {pixels}; the VAE and the patches need a multiple of {unit}, up to {most}"
        )


def ready(folder: Path, experiment) -> None:
    """Embed every prompt of the experiment beside the base model in `folder`, so that later steps load no
    text encoder.
    """
    model = Model.load(folder, devices.best(), experiment)
    model.condition(
        list(
            dict.fromkeys(
                [
                    "",
                    experiment.prompt,
                    model.negative,
                    *experiment.other_prompts,
                    *experiment.remember.prompts,
                ]
            )
        ),
        -1,
    )
    prompt_embeddings.keep(folder, model.embedded, model.settings.t5_tokens)


def pixels(folder: Path, experiment) -> int:
    """The side of the model's pictures, from its files alone."""
    read = lambda part: json.loads((folder / part / "config.json").read_text())
    return experiment.family_settings().pixels or read("transformer")["sample_size"] * 2 ** (
        len(read("vae")["block_out_channels"]) - 1
    )


def check_parts(folder: Path) -> None:
    """Raise when `folder` lacks what later steps read: the transformer, the VAE and the scheduler, whole and
    of this family.
    """
    hub.check(folder, "sd3", PARTS)
    hub.scheduler(folder / "scheduler", "sd3", (SCHEDULER,))


def check(folder: str | Path, experiment=None) -> None:
    """Raise, without importing torch's models, when `folder` is no whole folder of a
    StableDiffusion3Pipeline: the parts above and the text encoders.
    """
    folder = Path(folder)
    check_parts(folder)
    for part in ("model_index.json", *WORDS):
        if not (folder / part).exists():
            raise FileNotFoundError(
                f"model: {folder} holds no {part}, which prompts are read with; copy the whole folder of the"
                " pipeline"
            )
    for home in sorted(p for p in folder.glob("text_encoder*") if p.is_dir()):
        checkpoints.read_json(home / "config.json"), checkpoints.check(home)


def fetch(source: str, out: Path, revision: str = "", shipped: Path | None = None) -> str:
    """Put the base model's folder at `out` and return its identity: 'miniature', a local path, or
    hub-name@commit.
    """
    files = [
        f"{home}/*{kind}" for home in FOLDERS for kind in (".json", ".safetensors", ".bin", ".txt", ".model")
    ]
    return hub.fetch(source, Path(out), revision, shipped, check, [*files, "*.json"])

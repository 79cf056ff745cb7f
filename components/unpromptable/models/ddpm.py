"""Unconditional DDPM: diffusers' UNet2DModel with its scheduler, the shipped miniature or google/ddpm-celebahq-256."""
from __future__ import annotations

import copy
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import checkpoints, diffusion, hub

CLASS, SAMPLERS = "UNet2DModel", ("ddim", "ddpm")


class Model:
    """A DDPM in model space [-1, 1]. x_t = sqrt(abar)*x0 + sqrt(1-abar)*eps, and the network predicts eps."""

    def __init__(self, network, scheduler, device: str | torch.device = "cpu"):
        self.network = network.to(device, memory_format=torch.channels_last).eval()  # dropout off, as the released checkpoints train
        self.scheduler, self.device = scheduler, torch.device(device)
        self.abar = scheduler.alphas_cumprod.double().to(device)
        self.timesteps, self.size = len(self.abar), int(network.config.sample_size)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu", experiment=None, base: str | Path | None = None) -> Model:
        """Read a diffusers folder (unet/ and scheduler/, or the flat layout of the oldest checkpoints).

        experiment and base are for families with settings or adapters; this one has neither. Raises ValueError for a folder of another kind, naming what was found.
        """
        from diffusers import DDPMScheduler, UNet2DModel

        root = Path(folder)
        unet, home = homes(root)
        check(root)
        return cls(checkpoints.load(UNet2DModel, unet, low_cpu_mem_usage=False, dtype=torch.float32), DDPMScheduler.from_pretrained(home), device)

    def times(self, index: Tensor) -> Tensor:
        """Timesteps of training, 0 the least noisy: the indices themselves."""
        return index

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(signal, noise) = (sqrt(abar_t), sqrt(1 - abar_t)), each (B,) float32; t: (B,) integers."""
        abar = self.abar[t]
        return abar.sqrt().float(), (1 - abar).sqrt().float()

    def target(self, x0: Tensor, eps: Tensor) -> Tensor:
        """What the network should output: eps."""
        return eps

    def target_of(self, x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
        """The output that carries x_t back to `x0`: Eq. 9 for the image itself, Eq. 10 for a surrogate."""
        return self.target(x0, diffusion.implied_noise(x_t, x0, *self.schedule(t)))

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's output for x_t (B, C, H, W), t (B,)."""
        return self.network(x_t.contiguous(memory_format=torch.channels_last), t).sample

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        """What a sampler follows: the network's output."""
        return self.predict(x_t, t)

    def unprompted(self) -> Model:
        """The model without its prompt: it has none."""
        return self

    def encode(self, images: np.ndarray) -> Tensor:
        """uint8 (N, H, W, 3) to model space (N, 3, H, W) float32 in [-1, 1]."""
        return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div(127.5).sub(1).to(self.device)

    def decode(self, x: Tensor) -> np.ndarray:
        """Model space to uint8 (N, H, W, 3), rounded to the nearest level."""
        return diffusion.levels(x)

    def trained(self) -> list[Tensor]:
        """The parameters that unlearning changes: all of them."""
        return list(self.network.parameters())

    def reference(self) -> Model:
        """A frozen copy of the model as it is now."""
        frozen = copy.deepcopy(self)
        frozen.network.requires_grad_(False)
        return frozen

    def sampler(self, name: str):
        """A fresh diffusers scheduler of this model's noise schedule: 'ddim' or 'ddpm' (ancestral)."""
        from diffusers import DDIMScheduler, DDPMScheduler

        return {"ddim": DDIMScheduler, "ddpm": DDPMScheduler}[name].from_config(self.scheduler.config)

    def descent(self, t: int, stride: int = 1) -> tuple:
        """Scheduler and timesteps of the injection test: ancestral steps t, t-stride, ..., 0 with the variances of such steps."""
        scheduler, times = self.sampler("ddpm"), chain(t, stride)
        scheduler.set_timesteps(timesteps=times)
        return scheduler, times

    def vary(self, image: np.ndarray, strength: float, draws: int, seed: int, words, progress=None) -> np.ndarray:
        """SDEdit without a prompt: noise to t = strength*1000 and take every ancestral step down, uint8 (draws, H, W, 3)."""
        from .. import sampling

        t = min(max(int(strength * self.timesteps), 1), self.timesteps - 1)
        return sampling.inject(self, image, t, draws, seed, progress=progress)

    def noise_shape(self) -> tuple[int, int, int]:
        """The shape of one x_T."""
        return self.network.config.in_channels, self.size, self.size

    def state(self) -> dict[str, Tensor]:
        """What changed by training: every weight, on the CPU."""
        return {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over weights written by `state`."""
        self.network.load_state_dict(state)

    def save(self, folder: Path) -> None:
        """Write a pipeline's folder with safetensors: stock DDPMPipeline.from_pretrained, or DiffusionPipeline's, draws our pictures from it.

        Raises ValueError, and writes nothing, where a weight is not finite.
        """
        from diffusers import DDPMPipeline

        plain = copy.deepcopy(self.network).to("cpu", memory_format=torch.contiguous_format)
        checkpoints.finite(plain.state_dict(), "model", "nothing is saved; lower training.lr or training.steps")
        DDPMPipeline(unet=plain, scheduler=self.scheduler).save_pretrained(folder, safe_serialization=True)

    @contextmanager
    def inference(self):
        """No gradients inside."""
        with torch.inference_mode():
            yield self


def chain(t: int, stride: int = 1) -> list[int]:
    """Timesteps of the injection test, one network call each: t, t-stride, ..., 0."""
    return [*range(t, 0, -stride), 0]


def homes(root: Path) -> tuple[Path, Path]:
    """Where the network and its scheduler are: in unet/ and scheduler/, or in the folder itself in the oldest layout."""
    flat = not (root / "unet").is_dir()
    return root if flat else root / "unet", root if flat and not (root / "scheduler").is_dir() else root / "scheduler"


def check(folder: str | Path) -> None:
    """Raise, without importing torch's models, when `folder` is no diffusers UNet2DModel folder with its scheduler and whole weights."""
    unet, home = homes(Path(folder))
    hub.check_part(Path(folder), "unet", CLASS, "ddpm", unet)
    hub.scheduler(home, "ddpm")


def pixels(folder: Path, experiment) -> int:
    """The side of the model's pictures, from its files alone."""
    import json

    config = next(p for p in (folder / "unet" / "config.json", folder / "config.json") if p.is_file())
    return int(json.loads(config.read_text())["sample_size"])


def fetch(source: str, out: Path, revision: str = "", shipped: Path | None = None) -> str:
    """Put the base model's folder at `out` and return its identity: 'miniature', a local path, or hub-name@commit.

    A hub name without a revision is resolved to its newest commit once; the resolved commit is what is recorded.
    """
    files = [f"{home}*{kind}" for home in ("", "unet/") for kind in (".json", ".safetensors", ".bin")]
    identity = hub.fetch(source, Path(out), revision, shipped, check, [*files, "scheduler/*.json"])
    if source != "miniature":  # whose weights are tested where they are shipped
        Model.load(out)
    return identity

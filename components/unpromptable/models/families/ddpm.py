"""Unconditional DDPM: diffusers' UNet2DModel with its scheduler, the shipped miniature or
google/ddpm-celebahq-256.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from unpromptable import equations, protocols
from unpromptable.models import beside, checkpoints, cores, hub, nameless, process, tensors
from unpromptable.models.lean import lean
from unpromptable.models.live import Live
from unpromptable.planning.operations import BYTES, Operations

CLASS = "UNet2DModel"
# diffusers' scheduler of each sampler: ancestral ddpm draws noise at every step, the others none
SAMPLERS = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
}


class Model(protocols.Model):
    """A DDPM in model space [-1, 1]: x_t = sqrt(abar)*x0 + sqrt(1-abar)*eps.

    The network predicts eps, v or x0, as its scheduler says.
    """

    def __init__(self, network, scheduler, device: str | torch.device = "cpu"):
        # dropout off, as the released checkpoints train
        self.network = lean(network.to(device, memory_format=torch.channels_last).eval())
        self.scheduler, self.device = scheduler, torch.device(device)
        self.abar = scheduler.alphas_cumprod.double().to(device)
        self.timesteps, self.prediction = len(self.abar), scheduler.config.prediction_type
        self.channels = network.config.in_channels
        self.size = int(np.ravel(network.config.sample_size)[0])

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str | torch.device = "cpu",
        experiment=None,
        base: str | Path | None = None,
    ) -> Model:
        """Read a diffusers folder (unet/ and scheduler/, or the flat layout of the oldest checkpoints).

        experiment and base are for families with settings or adapters; this one has neither. Raises
        ValueError for a folder of another kind, naming what was found.
        """
        import diffusers

        root = Path(folder)
        unet, home = homes(root)
        Family().check(root)
        scheduler = getattr(diffusers, checkpoints.read_json(home / "scheduler_config.json")["_class_name"])
        checkpoints.check_shapes(diffusers.UNet2DModel, unet)
        network = checkpoints.load(diffusers.UNet2DModel, unet, low_cpu_mem_usage=False, dtype=torch.float32)
        return cls(network, scheduler.from_pretrained(home), device)

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(signal, noise) = (sqrt(abar_t), sqrt(1 - abar_t)), each (B,) float32; t: (B,) integers."""
        abar = self.abar[t]
        return abar.sqrt().float(), (1 - abar).sqrt().float()

    def target(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What the network should output at t (B,): eps, v = signal*eps - noise*x0, or x0 itself."""
        return equations.network_target(self.prediction, x0, eps, *self.schedule(t))

    def noise_of(self, output: Tensor, x_t: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        """The noise that the network's output at x_t implies; signal, noise: (B,), also between timesteps."""
        return equations.network_noise(self.prediction, output, x_t, signal, noise)

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's output for x_t (B, C, H, W), t (B,)."""
        return self.network(x_t.contiguous(memory_format=torch.channels_last), t).sample

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The same for a sampler, which follows no gradients: a processor's cores share the batch out."""
        return cores.shared(self.predict, x_t, t) if self.device.type == "cpu" else self.predict(x_t, t)

    def encode(self, images: np.ndarray) -> Tensor:
        """uint8 (N, H, W, 3) to model space (N, C, H, W) float32 in [-1, 1]; C is 3, or 1 where pictures are
        grey.
        """
        images = grey(images)[..., :1] if self.channels == 1 else images
        return equations.signed(equations.planes(images)).to(self.device)

    def decode(self, x: Tensor) -> np.ndarray:
        """Model space to uint8 (N, H, W, 3), rounded to the nearest level; grey has three equal channels."""
        return equations.levels(x.expand(-1, 3, -1, -1))

    def trained(self) -> list[Tensor]:
        """The parameters that unlearning changes: all of them."""
        return list(self.network.parameters())

    def reference(self) -> Model:
        """A frozen copy of the model as it is now."""
        frozen = copy.deepcopy(self)
        frozen.network.requires_grad_(False)
        return frozen

    def sampler(self, name: str):
        """A fresh diffusers scheduler of this model's noise schedule, by a name of `SAMPLERS`.

        What the model's files leave out is the DDPM's default, also where the other kind's own is another:
        a saved model's files leave nothing out, and must draw by the same timesteps.
        """
        import diffusers

        said = {k: v for k, v in self.scheduler.config.items() if k != "_use_default_values"}
        return getattr(diffusers, SAMPLERS[name]).from_config(said)

    def injection_schedule(self, t: int, stride: int = 1) -> tuple:
        """Scheduler and timesteps of the injection test, t and stride being the model's own.

        Ancestral steps t, t-stride, ..., 0 with the variances of such steps.
        """
        scheduler, times = self.sampler("ddpm"), Family().chain(t, stride)
        scheduler.set_timesteps(timesteps=times)
        return scheduler, times

    def sdedit(
        self, image: np.ndarray, strength: float, draws: int, seed: int, words, progress=None
    ) -> np.ndarray:
        """SDEdit without a prompt, uint8 (draws, H, W, 3): strength*1000 thousandths, an ancestral step for
        each. By noise of its own: what forgets must not know the noise that tests it.
        """
        from unpromptable.sampling import chains

        t = min(max(int(strength * 1000), 1), 999)
        return chains.inject(self, image, t, draws, chains.EDITS + seed, progress=progress)

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
        """Write a pipeline's folder with safetensors: stock DDPMPipeline.from_pretrained, or
        DiffusionPipeline's, draws our pictures from it.

        Raises ValueError, and writes nothing, where a weight is not finite.
        """
        from diffusers import DDPMPipeline

        plain = copy.deepcopy(self.network).to("cpu", memory_format=torch.contiguous_format)
        tensors.finite(plain.state_dict(), "model", "nothing is saved; lower training.lr or training.steps")
        DDPMPipeline(unet=plain, scheduler=self.scheduler).save_pretrained(folder, safe_serialization=True)
        nameless.strip(Path(folder))


def homes(root: Path) -> tuple[Path, Path]:
    """Where the network and its scheduler are: in unet/ and scheduler/, or in the folder itself in the oldest
    layout.
    """
    flat = not (root / "unet").is_dir()
    return root if flat else root / "unet", (
        root if flat and not (root / "scheduler").is_dir() else root / "scheduler"
    )


def grey(images: np.ndarray) -> np.ndarray:
    """uint8 (..., H, W, 3) in grey by its luma (ITU-R 601, rounded as Pillow's mode L), three equal
    channels.
    """
    luma = images.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32) + 0x8000 >> 16
    return np.repeat(luma.astype(np.uint8)[..., None], 3, -1)


@dataclass(frozen=True)
class Family(protocols.Family):
    """Unconditional DDPMs, as folders of diffusers."""

    model: ClassVar[type] = Model
    samplers: ClassVar[tuple[str, ...]] = tuple(SAMPLERS)

    def fetch(self, source: str, out: Path, revision: str = "", shipped: Path | None = None) -> str:
        """Put the base model's folder at `out` and return its identity: 'miniature', a local path, or
        hub-name@commit.

        A hub name without a revision is resolved to its newest commit once; the resolved commit is what is
        recorded.
        """
        files = [f"{home}*{kind}" for home in ("", "unet/") for kind in (".json", ".safetensors", ".bin")]
        identity = hub.fetch(source, Path(out), revision, shipped, self.check, [*files, "scheduler/*.json"])
        if source != "miniature":  # whose weights are tested where they are shipped
            self.model.load(out)
        return identity

    def check(self, folder: str | Path, experiment=None) -> None:
        """Raise, without importing torch's models, when `folder` is no diffusers UNet2DModel folder with
        whole weights, or its process is another. experiment: whose sampling must suit the schedule.
        """
        root = Path(folder)
        unet, home = homes(root)
        hub.check_part(root, "unet", CLASS, "ddpm", unet)
        process.check(root, unet, home, experiment.sampling if experiment else None)

    def beside(self, folder: Path, base: Path) -> list[str]:
        """What the scheduler of a model from elsewhere draws otherwise, see `beside.differences`."""
        return beside.differences(homes(folder), homes(base))

    def take(self, folder: Path, base: Path) -> None:
        """Have the copy of such a model drawn as the base is."""
        beside.take(homes(folder), homes(base))

    def pixels(self, folder: Path, experiment) -> int:
        """The side of the model's pictures, from its files alone."""
        return process.side(homes(folder)[0] / "config.json")

    def shown(self, folder: Path, images: np.ndarray) -> np.ndarray:
        """Pictures as the model in `folder` can show them: grey where it has one channel."""
        channels = checkpoints.read_json(homes(folder)[0] / "config.json").get("in_channels", 3)
        return grey(images) if channels == 1 else images

    def chain(self, t: int, stride: int = 1) -> list[int]:
        """Timesteps of the injection test, one network call each: t, t-stride, ..., 0."""
        return [*range(t, 0, -stride), 0]

    def operations(self, folder: Path) -> Operations:
        """A UNet2DModel's operations and bytes, from its configuration alone."""
        from diffusers import UNet2DModel

        root, home = homes(folder)
        unet = checkpoints.sketch(UNet2DModel, root)
        try:
            counted, held = _counted(unet, process.side(root / "config.json"))
        except checkpoints.MISFIT as error:
            why = " ".join(str(error).split())[:200]
            raise ValueError(
                f"model: {root / 'config.json'} is of a network that cannot run ({why})"
            ) from error
        timesteps = checkpoints.read_json(home / "scheduler_config.json").get("num_train_timesteps", 1000)
        return Operations(*counted, timesteps=timesteps, **dict(zip(BYTES, held)))


def _counted(unet, side: int) -> tuple[list[float], list[float]]:
    """Operations of a pass forward of one picture and of the one backward, and the bytes of `BYTES`."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        given = torch.zeros(1, unet.config.in_channels, side, side), torch.zeros(1, dtype=torch.long)
        with torch.no_grad(), FlopCounterMode(display=False) as forward, Live() as seen:
            unet(*given)
        with Live() as taught:
            output = unet(*given).sample.sum()
            with FlopCounterMode(display=False) as backward:
                output.backward()
    weights = sum(p.nbytes for p in unet.parameters())
    held = [float(size) for size in (weights, weights, seen.most, taught.most)]
    return [float(mode.get_total_flops()) for mode in (forward, backward)], held

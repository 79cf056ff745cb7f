"""Stable Diffusion 3 as files: what a folder of its pipeline must hold, and how it is brought here."""

from __future__ import annotations

from pathlib import Path

from unpromptable.models import checkpoints, hub
from unpromptable.planning.reading import shown

MOST = 4096  # latents a side
CLASS = "SD3Transformer2DModel"
PARTS = {"transformer": CLASS, "vae": "AutoencoderKL"}
SCHEDULER = "FlowMatchEulerDiscreteScheduler"
TIMESTEPS = 1000
# what would give a sampler other noise than training has
OTHER = (
    *("use_dynamic_shifting", "invert_sigmas", "shift_terminal", "stochastic_sampling"),
    *("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"),
)
WORDS = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")  # the third pair, T5, may be left out
FOLDERS = ("transformer", "vae", "scheduler", "text_encoder*", "tokenizer*")
KINDS = (".json", ".safetensors", ".bin", ".txt", ".model")


def fetch(source: str, out: Path, revision: str = "", shipped: Path | None = None) -> str:
    """Put the base model's folder at `out` and return its identity: 'miniature', a local path, or
    hub-name@commit.
    """
    files = [f"{home}/*{kind}" for home in FOLDERS for kind in KINDS]
    return hub.fetch(source, Path(out), revision, shipped, check, [*files, "*.json"])


def check(folder: str | Path, experiment: object = None) -> None:
    """Raise, without importing torch's models, when `folder` is no whole folder of a
    StableDiffusion3Pipeline: what later steps read and the text encoders.
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


def check_parts(folder: Path) -> None:
    """Raise when `folder` lacks what later steps read: the transformer, the VAE and the scheduler, whole and
    of this family.
    """
    hub.check(folder, "sd3", PARTS)
    found = hub.scheduler(folder / "scheduler", "sd3", (SCHEDULER,))
    wrong = [f"{k} {shown(found[k])}" for k in OTHER if found.get(k)]
    if found.get("num_train_timesteps", TIMESTEPS) != TIMESTEPS:
        wrong.insert(0, f"num_train_timesteps {shown(found['num_train_timesteps'])}")
    if wrong:
        raise ValueError(
            f"model: {folder / 'scheduler' / 'scheduler_config.json'} says {', '.join(wrong)}; the family sd3"
            f" takes {TIMESTEPS} timesteps, t = 1000 sigma, and a fixed shift alone"
        )


def check_size(pixels: int, factor: int, config) -> None:
    """Raise ValueError where the VAE and the patches do not divide the side, or it is beyond the position
    table.
    """
    unit, most = factor * config.patch_size, config.pos_embed_max_size * config.patch_size * factor
    if pixels % unit or pixels > most:
        raise ValueError(
            f"model.pixels is {pixels}; the VAE and the patches need a multiple of {unit}, up to {most}"
        )


def side(folder: Path) -> int:
    """The side of the pictures that a folder's model was made for, from its files alone. Raises ValueError
    where these do not say it.
    """
    transformer, vae = (checkpoints.read_json(folder / part / "config.json") for part in PARTS)
    size, blocks = transformer.get("sample_size"), vae.get("block_out_channels")
    if type(size) is not int or not 1 <= size <= MOST or not isinstance(blocks, list) or len(blocks) > 16:
        raise ValueError(
            f"model: {folder} has sample_size {shown(size)} and block_out_channels {shown(blocks)}; a side in"
            f" latents, at most {MOST}, and a list of channels are needed"
        )
    return size * 2 ** (len(blocks) - 1)


def load(folder: Path, device) -> tuple:
    """Transformer, VAE and scheduler of a folder; the networks in bfloat16 on CUDA, else in float32."""
    import diffusers
    import torch

    check_parts(folder)
    half = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
    networks = [
        checkpoints.load(getattr(diffusers, kind), folder / part, dtype=half) for part, kind in PARTS.items()
    ]
    return *networks, getattr(diffusers, SCHEDULER).from_pretrained(folder / "scheduler")

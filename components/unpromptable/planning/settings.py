"""The blocks of an experiment and of a cell: one frozen dataclass each, checked where it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import reading

SEEDS = 1 << 32  # a seed has 32 bits


def _positive(where: str, thing: Any, *names: str) -> None:
    for name in names:
        if not getattr(thing, name) > 0:
            raise ValueError(f"{where}.{name} is {getattr(thing, name)}; it must be above 0")


def _at_most(where: str, thing: Any, most: float, *names: str) -> None:
    for name in names:
        if getattr(thing, name) > most:
            raise ValueError(f"{where}.{name} is {getattr(thing, name)}; it may be at most {most:,}")


@dataclass(frozen=True)
class Choice:
    """One noun of the YAML: the file's name and its settings."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """The base model: family, where it comes from, and at which revision."""

    name: str = "ddpm"  # the family, a file in models/
    source: str = "miniature"  # miniature | a diffusers folder | a hub name
    revision: str = ""  # commit of the hub name; empty resolves the newest once and records it
    settings: dict[str, Any] = field(default_factory=dict)  # the family's own, such as the rank of an adapter

    def __post_init__(self):
        reading.check_path("model.source", self.source)


@dataclass(frozen=True)
class Sampling:
    """How the images before and after are drawn; one setting for a whole experiment."""

    # ddim | ddpm, or euler for flows; the paper names none, SISS samples DDPM in 50 steps
    sampler: str = "ddim"
    steps: int = 50  # network calls per image
    images: int = 10_000  # per model (IV)
    first_seed: int = 0  # image i has seed first_seed + i
    # images per network call, which is always filled up to it; another value may round a pixel to the next
    # level
    batch: int = 64
    shards: int = 1  # files that the images of one model are drawn into; pods share them

    def __post_init__(self):
        _positive("sampling", self, "steps", "images", "batch", "shards")
        _at_most("sampling", self, 10_000, "steps", "shards")
        _at_most("sampling", self, 10_000_000, "images", "batch")
        if not 0 <= self.first_seed <= SEEDS - self.images:
            raise ValueError(
                f"sampling.first_seed is {self.first_seed}; it and the {self.images} seeds from it on must"
                f" lie in 0..{SEEDS - 1}"
            )
        if self.shards > self.images:
            raise ValueError(
                f"sampling.shards is {self.shards} for {self.images} images; use at most one shard per image"
            )


def shards(settings: Sampling, images_per_shard: int = 0) -> list[dict[str, int]]:
    """How the images of one model are shared out: first and count per shard, its number and that of all
    shards.

    Shard k of n also denoises targets k, k + n, ...: the injection test is most of the work where images are
    few.

    images_per_shard above 0 sets the number of shards by the number of images, instead of `settings.shards`.
    """
    if images_per_shard < 0:
        raise ValueError(
            f"images_per_shard is {images_per_shard}; give 0 to leave the shards to the experiment, or a"
            " number of images"
        )
    number = -(-settings.images // images_per_shard) if images_per_shard else settings.shards
    edges = [settings.images * i // number for i in range(number + 1)]
    return [
        {"first": a, "count": b - a, "shard": i, "shards": number}
        for i, (a, b) in enumerate(zip(edges, edges[1:]))
    ]


@dataclass(frozen=True)
class Injection:
    """The test of forgetting: noise the target to t, denoise with the same chain noise before and after (Fig.
    6).
    """

    t: int = 250  # in thousandths of the process, 1..999: SISS's setting; the paper states none
    draws: int = 8  # noise draws per target
    # thousandths per step of the chain; above 1 for small worlds, as their samplers take fewer steps too
    stride: int = 1
    seed: int = 0
    siss_compat: bool = False  # one seed for injected and chain noise, as the SISS code has it

    def __post_init__(self):
        _positive("injection", self, "t", "draws", "stride")
        _at_most("injection", self, 999, "t", "stride")
        _at_most("injection", self, 100_000, "draws")


@dataclass(frozen=True)
class Networks:
    """The metric networks: ours for the miniature world (flags: for its flags), or the paper's."""

    name: str = "miniature"  # miniature | flags | paper
    folder: str = ""  # where the paper's weight files lie; empty looks in torch hub's cache and fetches

    def __post_init__(self):
        reading.check_path("networks.folder", self.folder or ".")
        if self.name not in ("miniature", "flags", "paper"):
            raise ValueError(f"networks.name: no {self.name!r}; choose from miniature, flags, paper")


@dataclass(frozen=True)
class Remember:
    """The images to keep: the real ones, or the base model's own outputs of the prompt (V: 100 of them for
    SD3).
    """

    source: str = "real"  # real | model
    images: int = 100  # drawn from the base model
    first_seed: int = 1_000_000  # apart from the seeds that are judged
    # patterns of real images to leave out too, such as "{group}-*": a target's name up to its last dash or
    # slash
    leave_out: tuple[str, ...] = ()
    # other prompts whose outputs are drawn too, as many images in all; a cell's `training.others` says how
    # much it remembers them
    prompts: tuple[str, ...] = ()
    # outputs whose descriptor is at least so similar to a forget image are left out, and shown; of real
    # images, its near copies
    screen: float = 0.5

    def __post_init__(self):
        if self.source not in ("real", "model"):
            raise ValueError(f"remember.source: no {self.source!r}; choose from real, model")
        if self.prompts and self.source != "model":
            raise ValueError(
                f"remember.prompts: {len(self.prompts)} given, whose outputs the base model draws; set"
                " remember.source to model, or leave them out"
            )
        _positive("remember", self, "images", "screen")
        _at_most("remember", self, 1_000_000, "images")
        if not 0 <= self.first_seed <= SEEDS // 2:
            raise ValueError(
                f"remember.first_seed is {self.first_seed}; it must lie in 0..{SEEDS // 2}, so that the seeds"
                " from it on have 32 bits"
            )


@dataclass(frozen=True)
class Pictures:
    """How picture files are read."""

    background: str = "white"  # what transparent parts are laid on: a colour's name or #rrggbb
    links: bool = False  # whether links out of a folder of pictures are followed

    def __post_init__(self):
        from unpromptable import pictures

        pictures.colour("pictures.background", self.background)
        if not isinstance(self.links, bool):
            raise ValueError(f"pictures.links is {self.links!r}; give true or false")


@dataclass(frozen=True)
class Quality:
    """When a surrogate is called doubtful. The paper states no bounds; these two call nothing doubtful that
    works.
    """

    # SSCD to the target above which it is a near copy: what SSCD's authors take for a copy of a picture
    copy: float = 0.75
    # share of the remember images that are closer, by SSCD and by LPIPS, from which on it is unrelated
    unrelated: float = 0.1
    changed: float = 0.75  # ... and share of its pixels that differ; a strong but local edit is not unrelated
    # remember images compared; bounds that are shares need no knowledge of the network's scale
    others: int = 64

    def __post_init__(self):
        _positive("quality", self, "copy", "unrelated", "changed", "others")
        _at_most("quality", self, 1, "copy", "unrelated", "changed")


@dataclass(frozen=True)
class Training:
    """Fine-tuning. Values the paper does not state are SISS's config/delete_celeb.yaml and marked so."""

    steps: int = 240  # updates per forget image (V, experiment setup)
    lr: float = 5e-6  # (V)
    batch: int = 8  # remember images, and noisings of the forget image, per update (V)
    seed: int = 0
    betas: tuple[float, float] = (0.95, 0.999)  # AdamW (SISS)
    weight_decay: float = 1e-6  # (SISS)
    eps: float = 1e-8  # (SISS)
    max_grad_norm: float = 1.0  # clips the final gradient; 0 is off (SISS)
    reduction: str = "mean"  # mean | sum over pixels; with sum the clip is always active, as in SISS
    t_min: int = 0  # t is uniform on the model's timesteps in thousandths t_min..t_max of its process
    t_max: int = 999
    # sample: one t per image; shared: one t per update (Algorithm 1 shows one image)
    timesteps: str = "sample"
    micro_batch: int = 0  # images per backward pass; 0 is the whole batch
    precision: str = "no"  # accelerate's mixed precision: no | fp16 | bf16
    # share of each target's updates, at their end, over which the rate falls linearly towards 0; 0 is the
    # paper's constant rate
    cooldown: float = 0.0
    # share of a batch's forget images that are earlier targets, so that these stay forgotten; 0 is the
    # paper's plain sequence
    revisit: float = 0.0
    # share of a batch's remember images that are outputs of `remember.prompts`, under those prompts; 0 is the
    # paper's, of the prompt alone
    others: float = 0.0
    save_every: int = 60  # updates between the states that a stopped run resumes from

    def rate(self, update: int) -> float:
        """The learning rate of update 0..steps-1 of a target."""
        falling = self.steps * self.cooldown
        return self.lr * min(1.0, (self.steps - update) / falling) if falling else self.lr

    def __post_init__(self):
        _positive("training", self, "steps", "lr", "batch", "save_every", "eps")
        _at_most("training", self, 100_000_000, "steps", "save_every")
        _at_most("training", self, 100_000, "batch", "micro_batch")
        if not all(0 <= b < 1 for b in self.betas):
            raise ValueError(f"training.betas is {self.betas}; both must lie in [0, 1)")
        if (
            self.reduction not in ("mean", "sum")
            or self.timesteps not in ("sample", "shared")
            or self.precision not in ("no", "fp16", "bf16")
        ):
            raise ValueError(
                f"training: reduction is {self.reduction!r} (mean or sum), timesteps {self.timesteps!r}"
                f" (sample or shared), precision {self.precision!r} (no, fp16 or bf16)"
            )
        if not 0 <= self.t_min <= self.t_max <= 999:
            raise ValueError(
                f"training: t_min {self.t_min} and t_max {self.t_max} must satisfy 0 <= t_min <= t_max <= 999"
            )
        if min(self.micro_batch, self.max_grad_norm, self.weight_decay) < 0:
            raise ValueError(
                f"training: micro_batch is {self.micro_batch}, max_grad_norm {self.max_grad_norm},"
                f" weight_decay {self.weight_decay}; none may be below 0"
            )
        if not 0 <= self.cooldown <= 1:
            raise ValueError(
                f"training.cooldown is {self.cooldown}; it is a share of the updates, 0 (a constant rate)"
                " to 1"
            )
        if not 0 <= self.revisit < 1:
            raise ValueError(
                f"training.revisit is {self.revisit}; it is a share of the forget images, from 0 (the present"
                " target alone) to below 1"
            )
        if not 0 <= self.others <= 1 or self.others and not round(self.others * self.batch):
            raise ValueError(
                f"training.others is {self.others}; it is a share of the {self.batch} remember images of a"
                " batch, 0 (the prompt's own alone) to 1, and at least one image where above 0"
            )

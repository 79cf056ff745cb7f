"""The blocks of an experiment and of a cell: one frozen dataclass each, checked where it is made.

A bound stands in its setting's type, and pydantic holds it; what ties settings together is checked after.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from unpromptable import pictures

from . import reading
from .validation import CONFIG

SEEDS = 1 << 32  # a seed has 32 bits
FEWEST = 4  # images of a model: of two groups of the jackknife each leaves two, which have a covariance

Steps = Annotated[int, Field(gt=0, le=10_000)]
Updates = Annotated[int, Field(gt=0, le=100_000_000)]
Images = Annotated[int, Field(gt=0, le=10_000_000)]
Thousandths = Annotated[int, Field(gt=0, le=999)]  # of a model's process
Timestep = Annotated[int, Field(ge=0, le=999)]
Positive = Annotated[float, Field(gt=0)]
NotBelow0 = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]  # none to all
ShareBelow1 = Annotated[float, Field(ge=0, lt=1)]
SomeShare = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True, config=CONFIG)
class Choice:
    """One noun of the YAML: its file's name, its settings as they were given, and what was made of them."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    # the Method, Editor or Metric, once the choice stands in a cell or an experiment; never written out, and
    # never carried over to other settings
    made: Any = field(default=None, init=False, compare=False, repr=False)


@dataclass(frozen=True, config=CONFIG)
class Source:
    """The base model: family, where it comes from, and at which revision."""

    name: str = "ddpm"  # the family, a file in models/
    source: str = "miniature"  # miniature | a diffusers folder | a hub name
    revision: str = ""  # commit of the hub name; empty resolves the newest once and records it
    settings: dict[str, Any] = field(default_factory=dict)  # the family's own, such as the rank of an adapter

    def __post_init__(self) -> None:
        reading.check_path("model.source", self.source)


@dataclass(frozen=True, config=CONFIG)
class Sampling:
    """How the images before and after are drawn; one setting for a whole experiment."""

    # ddim | ddpm | dpm++ | unipc; of flows euler | dpm++ | unipc. The paper names none, SISS samples DDPM in
    # 50 steps; dpm++ and unipc need fewer
    sampler: str = "ddim"
    steps: Steps = 50  # network calls per image
    images: Images = 10_000  # per model (IV)
    first_seed: int = 0  # image i has seed first_seed + i
    # images per network call, which is always filled up to it; another value may round a pixel to the next
    # level
    batch: Images = 64
    shards: Steps = 1  # files that the images of one model are drawn into; pods share them
    # no: PyTorch's own, on a GPU TF32 for convolutions alone; tf32: for every product; bf16: the network in
    # bfloat16. The injection test is always drawn as with `no`
    precision: Literal["no", "tf32", "bf16"] = "no"
    # whose images are drawn: every cell's, or those of cells that the injection test, made first, calls
    # forgotten
    when: Literal["always", "forgets"] = "always"
    # dominated: a cell that forgets stops at the prefix of its images at which another is sure to be better;
    # not one of several targets that make one line
    stop: Literal["none", "dominated"] = "none"

    @property
    def together(self) -> int:
        """Images per network call as it is made: `batch`, or all images in whole eights where they are
        fewer.
        """
        return min(self.batch, self.images + -self.images % 8)

    def __post_init__(self) -> None:
        if self.images < FEWEST:
            raise ValueError(
                f"sampling.images is {self.images}; the Fréchet distances and their intervals take at least"
                f" {FEWEST}"
            )
        if not 0 <= self.first_seed <= SEEDS - self.images:
            raise ValueError(
                f"sampling.first_seed is {self.first_seed}; it and the {self.images} seeds from it on must"
                f" lie in 0..{SEEDS - 1}"
            )
        if self.shards > self.images:
            raise ValueError(
                f"sampling.shards is {self.shards} for {self.images} images; use at most one shard per image"
            )


@dataclass(frozen=True, config=CONFIG)
class Injection:
    """The test of forgetting: noise the target to t, denoise with the same chain noise before and after (Fig.
    6).
    """

    t: Thousandths = 250  # SISS's setting; the paper states none
    draws: Annotated[int, Field(gt=0, le=100_000)] = 8  # noise draws per target
    # thousandths per step of the chain; above 1 for small worlds, as their samplers take fewer steps too
    stride: Thousandths = 1
    seed: int = 0
    siss_compat: bool = False  # one seed for injected and chain noise, as the SISS code has it


@dataclass(frozen=True, config=CONFIG)
class Networks:
    """The metric networks: ours for the miniature world (flags: for its flags), or the paper's."""

    name: Literal["miniature", "flags", "paper"] = "miniature"
    folder: str = ""  # where the paper's weight files lie; empty looks in torch hub's cache and fetches
    # SHA-256 of SSCD's file, which is a program: the paper's networks run only the one that was checked
    sscd_sha256: str = ""
    sscd: Literal["torchscript", "onnx"] = "torchscript"  # onnx: int8, in `folder`; data, needs no digest
    features: Literal["inception", "alexnet"] = "inception"  # of FID and KID; LPIPS's AlexNet makes no FID

    def __post_init__(self) -> None:
        reading.check_path("networks.folder", self.folder or ".")
        if self.name == "paper" and self.sscd == "onnx" and not self.folder:
            raise ValueError("networks.sscd is onnx, but networks.folder, where that file lies, is not given")
        if self.sscd_sha256 and not re.fullmatch("[0-9a-fA-F]{64}", self.sscd_sha256):
            raise ValueError(
                f"networks.sscd_sha256 is {reading.shown(self.sscd_sha256)}; give the 64 hexadecimal digits"
                " of the file's SHA-256"
            )


@dataclass(frozen=True, config=CONFIG)
class Remember:
    """The images to keep: the real ones, or the base model's own outputs of the prompt (V: 100 of them for
    SD3).
    """

    source: Literal["real", "model"] = "real"
    images: Annotated[int, Field(gt=0, le=1_000_000)] = 100  # drawn from the base model
    # apart from the seeds that are judged, and so that the seeds from it on have 32 bits
    first_seed: Annotated[int, Field(ge=0, le=SEEDS // 2)] = 1_000_000
    # patterns of real images to leave out too, such as "{group}-*": a target's name among them, or its file's
    # where it lies elsewhere, up to its last dash or slash
    leave_out: tuple[str, ...] = ()
    # other prompts whose outputs are drawn too, as many images in all; a cell's `training.others` says how
    # much it remembers them
    prompts: tuple[str, ...] = ()
    # outputs whose descriptor is at least so similar to a forget image are left out, and shown; of real
    # images, its near copies
    screen: Positive = 0.5

    def __post_init__(self) -> None:
        if self.prompts and self.source != "model":
            raise ValueError(
                f"remember.prompts: {len(self.prompts)} given, whose outputs the base model draws; set"
                " remember.source to model, or leave them out"
            )


@dataclass(frozen=True, config=CONFIG)
class Pictures:
    """How picture files are read."""

    background: str = "white"  # what transparent parts are laid on: a colour's name or #rrggbb
    links: bool = False  # whether links out of a folder of pictures are followed
    # a picture of more pixels is refused; twice what Pillow warns of. While a PNG is read each pixel takes
    # about five bytes
    max_pixels: Annotated[int, Field(gt=0, le=100_000_000_000)] = pictures.LIMIT

    def __post_init__(self) -> None:
        pictures.colour("pictures.background", self.background)


@dataclass(frozen=True, config=CONFIG)
class Quality:
    """When a surrogate is called doubtful. The paper states no bounds; these two call nothing doubtful that
    works.
    """

    # SSCD to the target above which it is a near copy: what SSCD's authors take for a copy of a picture
    copy: SomeShare = 0.75
    # share of the remember images that are closer, by SSCD and by LPIPS, from which on it is unrelated
    unrelated: SomeShare = 0.1
    # ... and share of its pixels that differ; a strong but local edit is not unrelated
    changed: SomeShare = 0.75
    # remember images compared; bounds that are shares need no knowledge of the network's scale
    others: Annotated[int, Field(gt=0)] = 64


@dataclass(frozen=True, config=CONFIG)
class Report:
    """What pages show of the targets, and where pages go; in the key of nothing that is trained or drawn."""

    # pictures of targets, surrogates and denoised draws: as they are, strongly blurred, or left out;
    # unrelated seeds stay
    pictures: Literal["show", "blur", "omit"] = "show"
    # whether MLflow also gets report.html and other reports with pictures; tables and plots always go
    tracked: bool = False


@dataclass(frozen=True, config=CONFIG)
class Training:
    """Fine-tuning. Values the paper does not state are SISS's config/delete_celeb.yaml and marked so."""

    steps: Updates = 240  # updates per forget image (V, experiment setup)
    lr: Positive = 5e-6  # (V)
    # remember images, and noisings of the forget image, per update (V)
    batch: Annotated[int, Field(gt=0, le=100_000)] = 8
    seed: int = 0
    betas: tuple[ShareBelow1, ShareBelow1] = (0.95, 0.999)  # AdamW (SISS)
    weight_decay: NotBelow0 = 1e-6  # (SISS)
    eps: Positive = 1e-8  # (SISS)
    max_grad_norm: NotBelow0 = 1.0  # clips the final gradient; 0 is off (SISS)
    # over pixels; with sum the clip is always active, as in SISS
    reduction: Literal["mean", "sum"] = "mean"
    # t is uniform on the model's timesteps in thousandths t_min..t_max of its process; for a flow these are
    # 1000*sigma, above t_min and up to t_max + 1, wherever a shift has put its timesteps
    t_min: Timestep = 0
    t_max: Timestep = 999
    # sample: one t per image; shared: one t per update (Algorithm 1 shows one image)
    timesteps: Literal["sample", "shared"] = "sample"
    # images per backward pass; 0 is the whole batch
    micro_batch: Annotated[int, Field(ge=0, le=100_000)] = 0
    # bf16 runs the network in it, weights and gradients stay float32; fp16 would need its losses scaled
    precision: Literal["no", "bf16"] = "no"
    # share of each target's updates, at their end, over which the rate falls linearly towards 0; 0 is the
    # paper's constant rate
    cooldown: Share = 0.0
    # share of a batch's forget images that are earlier targets, so that these stay forgotten; 0 is the
    # paper's plain sequence
    revisit: ShareBelow1 = 0.0
    held: str = ""  # a file of targets forgotten before (`unlearning.held`), which `revisit` goes back to too
    # share of a batch's remember images that are outputs of `remember.prompts`, under those prompts; 0 is the
    # paper's, of the prompt alone
    others: Share = 0.0
    # share of the remember images that are drawn from those most like a target, `lookalikes_each` of each, so
    # that people who look alike stay; 0 is the paper's
    lookalikes: Share = 0.0
    lookalikes_each: Annotated[int, Field(gt=0)] = 16
    save_every: Updates = 60  # updates between the states that a stopped run resumes from
    # similarity of the denoised target, before and after, below which a target's updates end; 0 takes all
    # `steps`, which are the most that a target gets otherwise
    until: Share = 0.0
    until_every: Updates = 20  # updates between the tests of it, each the work of some two updates
    # thousandths per step of that test's chain; the row's own test is finer
    until_stride: Thousandths = 25

    def __post_init__(self) -> None:
        if self.t_min > self.t_max:
            raise ValueError(
                f"training.t_min is {self.t_min} and training.t_max {self.t_max}; t_min may be at most t_max"
            )
        if self.until and self.cooldown == 1:
            raise ValueError(
                "training.cooldown is 1, so the rate falls from the first update on and training.until can"
                " end nothing early; lower the one, or set the other to 0"
            )
        if self.others and not round(self.others * self.batch):
            raise ValueError(
                f"training.others is {self.others}; of the {self.batch} remember images of a batch that is"
                " none, so raise it, or set it to 0"
            )

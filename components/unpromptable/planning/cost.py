"""What a plan costs in operations, from the shapes of its networks: 1 multiply-add is 2 FLOP, matrix products
and convolutions alone.

Counted with torch's flop counter at the sizes named; nothing here was timed. The rate at which a GPU works
through them is the reader's to state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from unpromptable.equations import own_step

from . import plan, plugins
from .experiment import Cell, Experiment
from .operations import Operations

# TFLOP/s: between the TF32 peaks of an H100's PCIe (378) and SXM (495) cards, which convolutions take by
# default; in practice two to four times as long
RATE = 400.0
FILL = 8  # noise draws are denoised by so many (sampling.DRAWS)
REAL = {"miniature": 2_400, "celeba_hq_256": 30_000}  # images of the data sets that the worlds name


NETWORKS = {
    ("ddpm", "google/ddpm-celebahq-256", 256): Operations(
        497.03e9, 1.999 * 497.03e9, weights=454.69e6, trained=454.69e6, seen=382.47e6, taught=2337.9e6
    ),
    ("ddpm", "miniature", 32): Operations(
        193.990656e6, 1.9954 * 193.990656e6, weights=2.749e6, trained=2.749e6, seen=1.2455e6, taught=5.55e6
    ),
    # LoRA of rank 32, 333 text tokens
    ("sd3", "stabilityai/stable-diffusion-3-medium-diffusers", 1024): Operations(
        8.982e12, 11.881e12, 4.88e12, 10.47e12, 2
    ),
    ("sd3", "stabilityai/stable-diffusion-3-medium-diffusers", 512): Operations(
        2.127e12, 2.392e12, 1.12e12, 2.51e12, 2
    ),
}
METRIC_NETWORKS = {  # FLOP per image (lpips: per pair) of the metric networks
    # ResNet-50 at 288, AlexNet at 256, Inception at 299
    "paper": {"sscd": 13.5e9, "lpips": 2 * 1.74e9, "fid": 11.42e9},
    "miniature": {"sscd": 21.84e6, "lpips": 2 * 21.84e6, "fid": 21.82e6},
}


@dataclass(frozen=True)
class Step:
    """One step of the DAG: what it runs, how often, and its FLOP; None where the network's operations are not
    known.
    """

    step: str
    cell: str  # '' for what all cells share
    work: str
    flop: float | None

    def hours(self, rate: float = RATE) -> float | None:
        """GPU hours at `rate` TFLOP/s."""
        return None if self.flop is None else self.flop / (rate * 1e12 * 3600)


def network(experiment: Experiment) -> Operations | None:
    """The base model's operations: of a published network, or counted from a diffusers folder here; None for
    another.
    """
    source = experiment.model
    known = {
        size: n
        for (family, name, size), n in NETWORKS.items()
        if (family, name) == (source.name, source.source)
    }
    if known:
        return known.get(pixels(experiment) or max(known))
    folder = Path(source.source)
    return _counted(source.name, folder) if folder.is_dir() else None


@cache
def _counted(family: str, folder: Path) -> Operations | None:
    """The operations of the model in a folder, counted once in a process."""
    return plugins.make("model", family).operations(folder)


def pixels(experiment: Experiment) -> int:
    """The side of the pictures that the experiment asks for; 0 is the model's own."""
    return int(experiment.model.settings.get("pixels", 0))


def steps(resolved: plan.Plan) -> Iterator[Step]:
    """Every step that costs a GPU anything, those of all cells first."""
    experiment, base = resolved.experiment, network(resolved.experiment)
    networks = METRIC_NETWORKS.get(experiment.networks.name)
    kept, s = experiment.remember, experiment.sampling
    if kept.source == "model":
        drawn = kept.images * (2 if kept.prompts else 1)
        yield Step(
            "prepare",
            "",
            f"{drawn:,} remember images of {s.steps} {s.sampler} steps",
            drawn * (base.guidance * s.steps * base.forward + base.decode) if base else None,
        )
    yield from of(experiment, None, resolved.targets())
    yield _features(experiment, networks)
    for cell in resolved.cells:
        yield from of(experiment, cell, cell.forget)


def of(experiment: Experiment, cell: Cell | None, targets: tuple[str, ...]) -> Iterator[Step]:
    """The steps of one cell; of what all cells share, its images alone."""
    base, networks = network(experiment), METRIC_NETWORKS.get(experiment.networks.name)
    if cell is not None:
        yield _edit(cell, base)
        yield _unlearn(cell, base)
    yield from _sample(experiment, base, cell.name if cell else "", targets)
    if cell is not None:
        yield _score(experiment, cell, networks)


def _sample(
    experiment: Experiment, base: Operations | None, cell: str, targets: tuple[str, ...]
) -> Iterator[Step]:
    s, test = experiment.sampling, experiment.injection
    images = s.images * (2 if experiment.other_prompts else 1)
    draws = test.draws + -test.draws % FILL
    own = [own_step(x, base.timesteps if base else 1000) for x in (test.t, test.stride)]
    calls = len(experiment.family.chain(*own))
    drawn = images * (base.guidance * s.steps * base.forward + base.decode) if base else None
    yield Step("sample", cell, f"{images:,} images of {s.steps} {s.sampler} steps", drawn)
    each = base and base.encode + base.decode + calls * base.guidance * base.forward
    denoised = len(targets) * draws * each if each else None
    yield Step(
        "inject",
        cell,
        f"{number(len(targets), 'target')}, {number(test.draws, 'draw')} of {calls} steps from t = {test.t}",
        denoised,
    )


def _edit(cell: Cell, base: Operations | None) -> Step:
    editor = cell.editor.made
    calls = editor.base_calls(base.timesteps if base else 1000)
    own = editor.flop + (calls * base.forward if base else 0.0)
    flop = None if calls and base is None else len(cell.forget) * own
    return Step("edit", cell.name, f"{number(len(cell.forget), 'surrogate')} by {cell.editor.name}", flop)


def _unlearn(cell: Cell, base: Operations | None) -> Step:
    if cell.unlearned:
        return Step("unlearn", cell.name, "none: the model was unlearned elsewhere", 0.0)
    passes, t = cell.method.made.passes, cell.training
    updates = t.steps * len(cell.forget)
    looks = sum(map(cell.method.made.looks, range(t.steps))) * len(cell.forget)
    words = f"{updates:,} updates of {t.batch} images, " + (
        "{} forward and {} backward".format(*passes) if passes else "whose passes the method does not say"
    )
    words += f", and {looks:,} batches more to look at" if looks else ""
    each = passes[0] * base.forward + passes[1] * base.backward if base and passes else None
    flop = None if not base or each is None else updates * each + looks * (base.forward + base.backward)
    return Step("unlearn", cell.name, words, None if flop is None else t.batch * flop)


def real_images(experiment: Experiment) -> int | None:
    """How many real images there are; None where that is not known here."""
    real = REAL.get(experiment.real)
    if real is None and Path(experiment.real).is_dir():
        from unpromptable import pictures

        real = len(pictures.find(experiment.real, experiment.pictures.links).files)
    return real


def _features(experiment: Experiment, networks: dict[str, float] | None) -> Step:
    real = real_images(experiment)
    seen = experiment.sampling.images + (real or 0)
    words = f"features of {experiment.sampling.images:,} images before and of " + (
        f"{real:,} real ones" if real is not None else "the real ones, whose number is not known here"
    )
    return Step("score", "", words, seen * networks["fid"] if networks else None)


def _score(experiment: Experiment, cell: Cell, networks: dict[str, float] | None) -> Step:
    pairs, faces = experiment.sampling.images, len(cell.forget) * (2 * experiment.injection.draws + 2)
    flop = None
    if networks:
        flop = pairs * (networks["lpips"] + networks["fid"]) + faces * networks["sscd"]
    return Step(
        "score",
        cell.name,
        f"{pairs:,} pairs by LPIPS and SSIM, {pairs:,} images by FID, {faces} by SSCD",
        flop,
    )


def number(n: int, word: str) -> str:
    """A count with its word, in the plural where it needs it."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"

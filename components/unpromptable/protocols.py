"""The five kinds of choice: what a file of each kind must have, and every hook that it may have.

A choice's file holds one class that subclasses the protocol of its kind and has its name, Family for the kind
model. It is a frozen dataclass whose fields are the settings in the YAML; `__post_init__` refuses wrong
values by a ValueError of one line. What is abstract here must be written; all else has a default.

Pictures are uint8 (N, H, W, 3); in model space, (B, C, h, w) of float32, x_t = signal*x0 + noise*eps.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from unpromptable.seam import Model

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from torch import Tensor

# What choices are handed and hand back. Their rooms lie above this one, so that it names them in words alone.
Batch = Any  # unlearning.batch.Batch: one update's images, timesteps and noise
Scene = Any  # editing.engine.EditContext: targets, remember images (read as indexed), base model, progress
Evidence = Any  # scoring.evidence.Evidence: pictures, read as they are sliced, and the two models
Networks = Any  # scoring.metric_networks.MetricNetworks: descriptor, perceptual, features, classify
Estimate = Any  # scoring.estimates.Estimate: a mean with its 95 % interval over n measurements
Row = Any  # reporting.row.Row: a cell, its numbers or what failed
Experiment = Any  # planning.experiment.Experiment
Training = Any  # planning.settings.Training
Operations = Any  # planning.operations.Operations: FLOP of a base model


class Method(Protocol):
    """An unlearning objective: Algorithm 1's inner step. The trainer owns loop, optimiser and checkpoints."""

    reads_surrogate: ClassVar[bool] = True  # whether `update` looks at batch.surrogate
    small: ClassVar[Mapping[str, Any]] = {}  # settings with which tests take seconds

    @abstractmethod
    def update(self, model: Model, batch: Batch) -> dict[str, float]:
        """Leave the gradient of one update in `.grad` of every tensor of `model.trained()`.

        Returns the numbers to log, such as the mean losses `remember` and `forget`; one that is not finite
        ends the cell. The weights stay as they are. Draws come from batch.generator alone, in whole batches
        that losses see as batch.drawn. Micro-batches (`gradients.measure`) must give the batch's gradient.
        """

    @property
    def reads_reference(self) -> bool:
        """Whether `update` reads batch.reference, the untouched model; None there where this is False."""
        return False

    @property
    def passes(self) -> tuple[int, int] | None:
        """Forward and backward passes of the network per image and update, for costs; None is not known."""
        return None

    def looks(self, update: int) -> int:
        """How many batches `note` reads before this update of a target, counted from 0."""
        return 0

    def note(self, model: Model, optimizer: Any, batches: Iterator[Batch]) -> tuple[Tensor, ...]:
        """What updates find in batch.noted from now on, also after a stop, by a pass each way for a batch.
        It may step the trainer's optimiser, at the update's rate, and leaves the weights as they were.
        """
        return ()

    def free(self, noted: tuple[Tensor, ...]) -> Sequence[Tensor] | None:
        """Which weights an update may move, a bool tensor for each trained parameter; None is all of them."""
        return None


class Editor(Protocol):
    """Makes the surrogate of each target: the picture that the forget image is mapped to."""

    redraws: ClassVar[bool] = False  # whether the trainer takes another remember image at every update
    neighbours: ClassVar[bool] = False  # whether it has `nearest(scene)`, (F, k, H, W, 3), which x_t weighs
    together: ClassVar[str] = ""  # the setting whose values are all asked for at once; empty is none
    flop: ClassVar[float] = 0.0  # per target, of the editor's own networks, for costs
    small: ClassVar[Mapping[str, Any]] = {}  # settings with which tests edit two small portraits in seconds

    @abstractmethod
    def edit(self, scene: Scene) -> np.ndarray:
        """Surrogates of scene.forget, uint8 (F, H, W, 3), the same whenever asked for, so draws are seeded.
        Raises ValueError or FileNotFoundError where a target cannot be edited.
        """

    def edit_many(self, scene: Scene, values: Sequence[Any]) -> list[np.ndarray]:
        """What `edit` gives at each of these values of the setting `together`, in their order."""
        return [replace(self, **{self.together: v}).edit(scene) for v in values]  # type: ignore[type-var]

    def files(self, targets: tuple[str, ...], among: tuple[str, ...] = ()) -> list[Path]:
        """The files that `edit` will read for these targets: part of the surrogates' identity. among: all
        targets of the experiment. Raises FileNotFoundError or ValueError where one is missing.
        """
        return []

    def base_calls(self, timesteps: int) -> int:
        """Forward passes of the base model, of so many timesteps, per target, for costs."""
        return 0


class Metric(Protocol):
    """A number of a cell, with its interval. Reports show the first paragraph of its file's docstring."""

    small: ClassVar[Mapping[str, Any]] = {}  # settings with which tests measure small pictures in seconds

    @abstractmethod
    def measure(self, evidence: Evidence, networks: Networks) -> dict[str, Estimate]:
        """Estimates by name, one by the metric's own. Raises ValueError, naming it, without the evidence."""

    def files(self) -> list[Path]:
        """The files that `measure` will read: part of the row's identity."""
        return []

    def check(self, names: Sequence[str], targets: Sequence[str]) -> None:
        """Raise ValueError, naming the metric, where `measure` would lack something that the names of the
        real images and of the targets tell; `plan` asks it, before any work.
        """

    def taught(self, training: Training) -> int:
        """Images that are in the base model at once with gradients, for the memory of `score`; training: the
        cell's.
        """
        return 0


class Report(Protocol):
    """A page or file of a whole run, written again whenever its rows change."""

    @abstractmethod
    def write(self, store: Path, experiment: Experiment, rows: Sequence[Row], state: str) -> Path | None:
        """Write into the run's folder `store` and return the file; None where there is nothing to tell.
        rows: one per cell, of `status` done, failed or waiting; of a finished one `value(metric)` has mean,
        low, high, n. state: SUCCEEDED, FAILED, TERMINATED or RUNNING. Escape names, titles and errors.
        """


class Family(Protocol):
    """A kind of diffusion model: how its folder is fetched, judged and loaded. A dataclass without fields."""

    model: ClassVar[type[Model]]  # what `load` gives
    samplers: ClassVar[tuple[str, ...]]  # what `sampling.sampler` may be
    settings: ClassVar[type | None] = None  # dataclass of what an experiment's `model` may set; None: nothing
    only: ClassVar[Mapping[str, str]] = {}  # settings -> "training" or "sampling", which alone reads them
    prompted: ClassVar[bool] = False  # whether a model takes a prompt, which the experiment must then give
    small: ClassVar[Mapping[str, Any]] = {}  # `settings` with which tests train the miniature's in seconds

    @abstractmethod
    def fetch(self, source: str, out: Path, revision: str = "", shipped: Path | None = None) -> str:
        """Put the base model's folder at `out`; return its identity: 'miniature', a path or name@commit.
        shipped: the miniature's folder. Raises FileNotFoundError or ValueError where there is none.
        """

    @abstractmethod
    def pixels(self, folder: Path, experiment: Experiment) -> int:
        """The side of the model's pictures, from the folder's files alone."""

    @abstractmethod
    def chain(self, t: int, stride: int = 1) -> list[float]:
        """Steps of the injection test from the model's timestep t down, one network call each, for costs."""

    def check(self, folder: Path, experiment: Experiment | None = None) -> None:
        """Raise FileNotFoundError or ValueError where `folder` is no whole model of this family. Reads no
        weights, since `plan` asks it too. experiment: whose sampling must suit.
        """

    def beside(self, folder: Path, base: Path) -> list[str]:
        """What the model in `folder`, unlearned elsewhere, would draw otherwise than the base by the same
        weights, in words. Raises ValueError where the two cannot be compared. Reads no weights.
        """
        return []

    def take(self, folder: Path, base: Path) -> None:
        """Have the copy in `folder` of such a model read and drawn as the base is."""

    def ready(self, folder: Path, experiment: Experiment) -> None:
        """Prepare the fetched folder for all later steps, such as by embedding the prompts once."""

    def shown(self, folder: Path, images: np.ndarray) -> np.ndarray:
        """Pictures (N, H, W, 3) as the model in `folder` can show them, such as grey."""
        return images

    def operations(self, folder: Path) -> Operations | None:
        """Operations of the model in `folder`, from its configuration; None where they are not known."""
        return None

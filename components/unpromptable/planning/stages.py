"""One identity per stage: each result is named by all that it depends on, and by nothing else.

A metric that is added needs no training, a method that is changed no other images before; a changed comment
needs nothing (see `code`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, wraps
from typing import Any

from unpromptable.storage import fingerprints

from . import inputs
from .code import code
from .experiment import Cell, Experiment, to_json
from .settings import Choice

BOUNDS = {"pictures": ("max_pixels",)}  # settings that refuse and change no number


def _once(stage: Callable[[Stages, Cell], str]) -> Callable[[Stages, Cell], str]:
    """Find a stage's identity once for each cell."""

    @wraps(stage)
    def found(self: Stages, cell: Cell) -> str:
        key = (stage.__name__, cell.name)
        if key not in self._kept:
            self._kept[key] = stage(self, cell)
        return self._kept[key]

    return found


@dataclass(frozen=True)
class Stages:
    """The identities of everything that an experiment makes."""

    experiment: Experiment
    targets: tuple[str, ...]  # of all cells
    read: inputs.Read

    @cached_property
    def base(self) -> str:
        """The base model as every step sees it: files, code, and the settings that are of no step alone."""
        said = {k: v for k, v in self._said["model"].items() if k != "settings"}
        return self._of([], [type(self.experiment.family).__module__], said, self._model(), self.read.base)

    @cached_property
    def pretrained(self) -> str:
        """The base model's folder, with the prompts' embeddings beside it."""
        e = self.experiment
        prompts = [e.prompt, e.other_prompts, e.remember.prompts]
        return fingerprints.digest([self.base, self._model("sampling"), prompts])

    @cached_property
    def forget(self) -> str:
        """The targets' pictures."""
        read = [self.experiment.pictures.background, sorted(self.targets), self.read.forget]
        return self._of(["real"], ["unpromptable.preparing.collect"], self.base, *read)

    @cached_property
    def data(self) -> str:
        """Real, forget and remember images."""
        chosen = self.experiment.networks
        return self._of(
            ["pictures"],
            ["unpromptable.preparing.collect", "unpromptable.preparing.remember_set"],
            self.forget,
            self._remembered(),
            self.read.real,
            [chosen.name, chosen.sscd, chosen.sscd_sha256, self.read.networks],
        )

    def _remembered(self) -> list[Any]:
        """What the remember set is taken by: of real images, or drawn from the base model."""
        e, said = self.experiment, self._said["remember"]
        if e.remember.source == "real":
            return [said["screen"], said["leave_out"]]
        drawn = [e.sampling.sampler, e.sampling.steps, e.sampling.together, e.sampling.precision]
        return [said, e.prompt, self._model("sampling"), drawn]

    @cached_property
    def before(self) -> str:
        """The base model's images, and the targets that it denoised; how many files they are drawn into
        changes none.
        """
        how = self.experiment.sampling
        drawn = [how.sampler, how.steps, how.together, how.precision, how.images, how.first_seed]
        said = [drawn, self.experiment.prompt, self._model("sampling")]
        return self._of(["injection", "other_prompts"], ["unpromptable.sampling.chains"], self.forget, said)

    @cached_property
    def sweep(self) -> str:
        """What was asked, whatever its cells: a run that is repeated or continued has the same."""
        return self._of(["quality"], [], self.data, self.before)

    @_once
    def edit(self, cell: Cell) -> str:
        """A cell's surrogates as pictures."""
        editor = cell.editor.made
        said = [cell.editor.name, asdict(editor), cell.forget, cell.training.seed, self.experiment.prompt]
        modules = ["unpromptable.editing.engine", type(editor).__module__]
        return self._of([], modules, self.data, said, self.read.edited.get(cell.name))

    def surrogates(self, cell: Cell) -> str:
        """The same with their distances to the targets; cells that share it build them once."""
        return self._of(["quality"], [], self.edit(cell))

    @_once
    def unlearned(self, cell: Cell) -> str:
        """A cell's model."""
        if cell.unlearned:
            given = self.read.given.get(cell.name)
            return fingerprints.digest([self.base, cell.forget, given, code("unpromptable.models.beside")])
        method, until = cell.method.made, cell.training.until
        # a stopped run that continues from a state ends with the numbers of an unbroken one
        near = bool(cell.training.lookalikes)
        left_out = ("save_every", "held", *(() if until else ("until_every", "until_stride")))
        left_out += () if near else ("lookalikes_each",)
        how = {k: v for k, v in asdict(cell.training).items() if k not in left_out}
        said = [cell.method.name, asdict(method), how, cell.forget, self._model("training")]
        said += [self.read.held[cell.name]] if cell.name in self.read.held else []
        modules = ["unpromptable.unlearning.training", type(method).__module__]
        # a training that ends by the injection test also depends on what tests it
        testing = ["unpromptable.sampling.chains", "unpromptable.execution.gate"] if until else []
        finding = [f"unpromptable.{room}.lookalikes" for room in ("scoring", "execution")] if near else []
        tested = self._model("sampling") if until else {}
        settings = ["injection"] if until else []
        return self._of(settings, [*modules, *testing, *finding], self.edit(cell), said, tested)

    @_once
    def after(self, cell: Cell) -> str:
        """The images of a cell's model, drawn as those before."""
        return fingerprints.digest([self.before, self.unlearned(cell)])

    def metric(self, cell: Cell, metric: Choice) -> str:
        """One metric's values for a cell."""
        made = metric.made
        modules = ["unpromptable.scoring.evidence", type(made).__module__]
        features = self.experiment.networks.features
        rest = [
            self.after(cell),
            self.edit(cell),
            asdict(made),
            self.read.measured.get(metric.name),
            features,
            # a model from elsewhere has no training in its identity, and a metric may read the cell's
            *([asdict(cell.training)] if cell.unlearned else []),
        ]
        return self._of([], modules, rest)

    def row(self, cell: Cell) -> str:
        """All that a cell's row says."""
        measured = {m.name: self.metric(cell, m) for m in self.experiment.metrics}
        modules = ["scoring.measured", "reporting.rows", "reporting.row"]  # which put it together
        return self._of([], [f"unpromptable.{m}" for m in modules], measured, self.surrogates(cell))

    def _model(self, step: str = "") -> dict[str, Any]:
        """Of the family's settings those that one step alone reads, or those of all steps."""
        given, only = self.experiment.family_settings(), self.experiment.family.only
        said = asdict(given) if given is not None else {}
        return {k: v for k, v in said.items() if only.get(k, "") == step}

    def decision(self, line: Sequence[Cell]) -> str:
        """Whether a cell's images are drawn, by the injection test of all cells of its line of a table."""
        (sscd,) = [m for m in self.experiment.metrics if m.name == "sscd"]
        return fingerprints.digest(sorted(self.metric(cell, sscd) for cell in line))

    @cached_property
    def _said(self) -> dict[str, Any]:
        """The experiment's blocks, without what only refuses."""
        said = to_json(self.experiment)
        return said | {
            block: {k: v for k, v in said[block].items() if k not in bounds}
            for block, bounds in BOUNDS.items()
        }

    @cached_property
    def _kept(self) -> dict[tuple[str, str], str]:
        """What was found of a cell, by stage and name: thousands of cells ask several times."""
        return {}

    def _of(self, settings: list[str], modules: list[str], *rest: Any) -> str:
        """The identity of these blocks of the experiment, of this code, and of what else is given."""
        return fingerprints.digest([{k: self._said[k] for k in settings}, code(*modules), *rest])


def check_unchanged(experiment: Experiment, targets: tuple[str, ...], planned: str) -> None:
    """Raise ValueError where pictures, base model or networks are not what they were when `planned`, the
    identity of the data, was found: rows would say one thing and images show another.
    """
    now = Stages(experiment, targets, inputs.again(experiment, targets))
    if now.data != planned:
        raise ValueError(
            f"real: the pictures of {experiment.real}, a target, the base model or the networks changed since"
            " the run was planned; leave them as they are and start it again"
        )

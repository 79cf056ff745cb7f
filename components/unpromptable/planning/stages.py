"""One identity per stage: each result is named by all that it depends on, and by nothing else.

A metric that is added needs no training, a method that is changed no other images before; a changed comment
needs nothing (see `code`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property, wraps
from importlib import resources
from pathlib import Path
from typing import Any

from unpromptable.storage import fingerprints

from . import inputs
from .code import code
from .experiment import Cell, Experiment, to_json
from .settings import Choice

SHIPPED = Path(str(resources.files("unpromptable"))) / "miniature"
BOUNDS = {"pictures": ("max_pixels",)}  # settings that refuse and change no number
NETWORKS = {"miniature": "descriptor.safetensors", "flags": "flag_descriptor.safetensors"}


@dataclass(frozen=True)
class Read:
    """Identities of the files that are read: of all cells, of a cell's editor, of a metric."""

    pictures: list[str] = field(default_factory=list)  # real images and targets
    base: list[str] = field(default_factory=list)  # the base model
    networks: list[str] = field(default_factory=list)  # the metric networks
    edited: dict[str, list[str]] = field(default_factory=dict)  # by the cell's name
    measured: dict[str, list[str]] = field(default_factory=dict)  # by the metric's name


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
    read: Read

    @cached_property
    def pretrained(self) -> str:
        """The base model's folder, with the prompts' embeddings beside it."""
        e = self.experiment
        prompts = [e.prompt, e.other_prompts, e.remember.prompts]
        return self._of(["model"], [type(e.family).__module__], prompts, self.read.base)

    @cached_property
    def data(self) -> str:
        """Real, forget and remember images."""
        drawn = self.experiment.remember.source == "model"
        return self._of(
            ["real", "remember", "pictures", "networks", *(["sampling"] if drawn else [])],
            ["unpromptable.preparing.collect", "unpromptable.preparing.remember_set"],
            self.pretrained,
            sorted(self.targets),
            self.read.pictures,
            self.read.networks,
        )

    @cached_property
    def before(self) -> str:
        """The base model's images, and the targets that it denoised."""
        return self._of(
            ["sampling", "injection", "other_prompts"], ["unpromptable.sampling.chains"], self.data
        )

    @cached_property
    def sweep(self) -> str:
        """What was asked, whatever its cells: a run that is repeated or continued has the same."""
        return self._of(["networks", "quality"], [], self.before)

    @_once
    def edit(self, cell: Cell) -> str:
        """A cell's surrogates as pictures."""
        editor = cell.editor.made
        said = [cell.editor.name, asdict(editor), cell.forget, cell.training.seed]
        modules = ["unpromptable.editing.engine", type(editor).__module__]
        return self._of([], modules, self.data, said, self.read.edited.get(cell.name))

    def surrogates(self, cell: Cell) -> str:
        """The same with their distances to the targets; cells that share it build them once."""
        return self._of(["networks", "quality"], [], self.edit(cell), self.read.networks)

    @_once
    def unlearned(self, cell: Cell) -> str:
        """A cell's model."""
        method = cell.method.made
        said = {k: v for k, v in to_json(cell).items() if k not in ("name", "group", "editor")}
        modules = ["unpromptable.unlearning.training", type(method).__module__]
        # a training that ends by the injection test also depends on what tests it
        tested = ["injection", "networks"] if cell.training.until else []
        testing = ["unpromptable.sampling.chains", "unpromptable.execution.gate"] if tested else []
        networks = self.read.networks if tested else None
        return self._of(tested, [*modules, *testing], self.edit(cell), said, networks)

    @_once
    def after(self, cell: Cell) -> str:
        """The images of a cell's model, drawn as those before."""
        return fingerprints.digest([self.before, self.unlearned(cell)])

    def metric(self, cell: Cell, metric: Choice) -> str:
        """One metric's values for a cell."""
        made = metric.made
        return self._of(
            ["networks"],
            ["unpromptable.scoring.evidence", type(made).__module__],
            [self.after(cell), self.edit(cell), asdict(made)],
            self.read.networks,
            self.read.measured.get(metric.name),
        )

    def row(self, cell: Cell) -> str:
        """All that a cell's row says."""
        measured = {m.name: self.metric(cell, m) for m in self.experiment.metrics}
        return fingerprints.digest([measured, self.surrogates(cell), code("unpromptable.scoring.evidence")])

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
    files = inputs.pictures_of(experiment.real, sorted(targets), experiment.pictures)
    now = Stages(experiment, targets, Read(files, _base(experiment), _networks(experiment)))
    if now.data != planned:
        raise ValueError(
            f"real: the pictures of {experiment.real}, a target, the base model or the networks changed since"
            " the run was planned; leave them as they are and start it again"
        )


def read(experiment: Experiment, cells: tuple[Cell, ...]) -> Read:
    """Look at every file that the experiment names. Raises where one is missing, or cannot be read."""
    targets = tuple(dict.fromkeys(t for c in cells for t in c.forget))
    return Read(
        inputs.pictures_of(experiment.real, sorted(targets), experiment.pictures),
        _base(experiment),
        _networks(experiment),
        {c.name: _by(c.editor, c.forget, targets) for c in cells},
        {m.name: _by(m) for m in experiment.metrics},
    )


def base_folder(experiment: Experiment) -> Path:
    """Where the base model's files lie: in the package, or in a folder, which is there for no hub's name."""
    source = experiment.model
    return SHIPPED / source.name if source.source == "miniature" else Path(source.source)


def _base(experiment: Experiment) -> list[str]:
    return fingerprints.tree(base_folder(experiment), time=experiment.model.source != "miniature")


def _networks(experiment: Experiment) -> list[str]:
    chosen = experiment.networks
    shipped = [fingerprints.of(SHIPPED / NETWORKS[chosen.name])] if chosen.name in NETWORKS else []
    return shipped + (fingerprints.tree(chosen.folder) if chosen.folder else [])


def _by(choice: Choice, *of: tuple[str, ...]) -> list[str]:
    """Identities of the files that an editor or a metric says it will read. Raises where it cannot."""
    return [inputs.stamp(f) for f in choice.made.files(*of)]

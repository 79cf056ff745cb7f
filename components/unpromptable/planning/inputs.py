"""Identity of an experiment's inputs that are files, without reading more of them than that needs; what is
missing, or is none, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

from unpromptable import pictures
from unpromptable.miniature.sources import drawn_by
from unpromptable.storage import fingerprints

from .experiment import Cell, Experiment
from .settings import Choice, Pictures

PACKAGE = Path(__file__).parents[1]
SHIPPED = Path(str(resources.files("unpromptable"))) / "miniature"
ADAPTER = "pytorch_lora_weights.safetensors"  # diffusers' name of a LoRA's file
HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")  # a name on the hub: whose it is, and what
NETWORKS = {"miniature": "descriptor.safetensors", "flags": "flag_descriptor.safetensors"}


@dataclass(frozen=True)
class Read:
    """Identities of the files that are read: of all cells, of a cell's editor, of a metric."""

    real: list[str] = field(default_factory=list)  # real images
    forget: list[str] = field(default_factory=list)  # targets
    base: list[str] = field(default_factory=list)  # the base model
    networks: list[str] = field(default_factory=list)  # the metric networks
    edited: dict[str, list[str]] = field(default_factory=dict)  # by the cell's name
    measured: dict[str, list[str]] = field(default_factory=dict)  # by the metric's name
    given: dict[str, list[str]] = field(default_factory=dict)  # models from elsewhere, by the cell's name
    held: dict[str, str] = field(default_factory=dict)  # what was forgotten before, by the cell's name


def read(experiment: Experiment, cells: tuple[Cell, ...]) -> Read:
    """Look at every file that the experiment names. Raises where one is missing, or cannot be read."""
    targets = tuple(dict.fromkeys(t for c in cells for t in c.forget))
    known = names(experiment.real, experiment.pictures)
    for metric in experiment.metrics:
        metric.made.check(known, [pictures.named(t, experiment.real, known) for t in targets])
    return replace(
        again(experiment, targets),
        edited={c.name: _by(c.editor, c.forget, targets) for c in cells},
        measured={m.name: _by(m) for m in experiment.metrics},
        given={c.name: _given(c, experiment) for c in cells if c.unlearned},
        held={c.name: _held(c) for c in cells if c.training.held},
    )


def again(experiment: Experiment, targets: tuple[str, ...]) -> Read:
    """Of all cells alone: what `check_unchanged` holds against what was planned."""
    files = pictures_of(experiment.real, sorted(targets), experiment.pictures)
    return Read(*files, _base(experiment), _networks(experiment))


def base_folder(experiment: Experiment) -> Path:
    """Where the base model's files lie: in the package, or in a folder, which is there for no hub's name."""
    source = experiment.model
    return SHIPPED / source.name if source.source == "miniature" else Path(source.source)


def check_source(where: str, source: str) -> None:
    """Raise FileNotFoundError for a model that is no folder here and could be no name on the hub."""
    if source != "miniature" and not Path(source).is_dir() and not HUB.fullmatch(source):
        raise FileNotFoundError(
            f"{where}: {source} is no folder here, and no name on the hub, such as google/ddpm-celebahq-256"
        )


def _base(experiment: Experiment) -> list[str]:
    check_source("model.source", experiment.model.source)
    return fingerprints.tree(base_folder(experiment), time=experiment.model.source != "miniature")


def _given(cell: Cell, experiment: Experiment) -> list[str]:
    """Identities of the files of a model that was unlearned elsewhere. Raises where that is none of the
    family's.
    """
    folder = Path(cell.unlearned)
    if not folder.is_dir():
        raise FileNotFoundError(f"cell {cell.name}: unlearned: {folder} is no folder; name the model's")
    if experiment.family.prompted and not (folder / ADAPTER).is_file():
        raise FileNotFoundError(
            f"cell {cell.name}: unlearned: {folder} has no {ADAPTER}; name the folder of an adapter"
        )
    if not experiment.family.prompted:
        experiment.family.check(folder, experiment)
    if (base := base_folder(experiment)).is_dir():  # where it is fetched first, the step compares them
        experiment.family.beside(folder, base)
    return fingerprints.tree(folder)


def _held(cell: Cell) -> str:
    """Identity of the file of what was forgotten before, wherever it lies. Raises where it is missing, or
    never gone back to.
    """
    path, where = Path(cell.training.held), f"cell {cell.name}: training.held"
    if not cell.training.revisit:
        raise ValueError(
            f"{where}: no batch goes back to it while training.revisit is 0; set it, such as to 0.5"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{where}: {path} is no file; name it, or leave it out")
    return fingerprints.sha256(path)


def _networks(experiment: Experiment) -> list[str]:
    chosen = experiment.networks
    if chosen.name in NETWORKS:
        return [fingerprints.of(SHIPPED / NETWORKS[chosen.name])]
    return fingerprints.tree(chosen.folder) if chosen.folder else []


def _by(choice: Choice, *of: tuple[str, ...]) -> list[str]:
    """Identities of the files that an editor or a metric says it will read. Raises where it cannot."""
    return [stamp(f) for f in choice.made.files(*of)]


def pictures_of(source: str, targets: list[str], how: Pictures = Pictures()) -> tuple[list[str], list[str]]:
    """Identities of the real images and of the targets that are files, by name and content.

    Raises where a target is missing or cannot be read.
    """
    drawn, real, forget = drawn_by(source), {}, []
    if drawn:
        known = set(drawn.names())
        if source != "miniature":
            drawn.rightly(source.partition("/")[2])
    else:
        folder = pictures.find(source, how.links)
        if len(folder.names) < 2:
            raise ValueError(f"real: {source} holds one picture; the Fréchet distance to it takes at least 2")
        real = {name: stamp(f) for name, f in zip(folder.names, folder.files)}
        known = set(real)
    for target in targets:
        if target not in known and not Path(target).is_file():
            raise FileNotFoundError(
                f"forget: {target} is neither a file nor a picture of {source} (such as {min(known)})"
            )
        if target not in known:
            pictures.read(Path(target), 8, limit=how.max_pixels)
            forget.append(stamp(Path(target)))
        elif target in real:
            forget.append(real[target])
    return list(real.values()), forget


def names(source: str, how: Pictures = Pictures()) -> list[str]:
    """The names of the real images. Raises where a folder is none, or holds none."""
    drawn = drawn_by(source)
    if drawn is None:
        return list(pictures.find(source, how.links).names)
    return drawn.trained() if source == "miniature" else drawn.rightly(source.partition("/")[2])


def stamp(path: Path) -> str:
    """A file's name, of one that ships as the package has it, and its identity by what it holds."""
    ships = path.is_relative_to(PACKAGE)
    return f"{path.relative_to(PACKAGE) if ships else path}:{fingerprints.of(path, time=not ships)}"

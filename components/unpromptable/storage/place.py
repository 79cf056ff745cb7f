"""Where a run's outputs lie: a place for each cell, and one for what all cells share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import files

SHARED = "shared"  # the folder of what all cells share


@dataclass(frozen=True)
class Place:
    """A folder of a store, and the name that people read for it."""

    store: str
    folder: str
    name: str

    @property
    def shared(self) -> bool:
        """Whether what all cells share lies here."""
        return self.folder == SHARED

    def path(self, name: str = "") -> Path:
        """A file or folder here."""
        return Path(self.store) / self.folder / name

    def fetched(self, name: str) -> Path:
        """The same, brought from the object store where it is not here yet."""
        return files.fetch(self.path(name))


@dataclass(frozen=True)
class Output:
    """What a step makes once: the file or folder `name`, from the inputs that `key` names."""

    place: Place
    step: str
    name: str
    key: str

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.place.path(self.name)

    def finished(self) -> bool:
        """Whether it is there, whole, and made from these inputs."""
        return files.finished(self.path, self.key)


def shared(store: str | Path) -> Place:
    """The place of what all cells share; its steps make the images before unlearning."""
    return Place(str(store), SHARED, "before")


def folder(store: str, cell: str) -> Path:
    """The folder that a cell's id stands for, or that of what all cells share."""
    name = cell.rpartition("/")[2]
    return Path(store) / (name if name == SHARED else f"cells/{name}")

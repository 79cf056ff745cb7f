"""Identity of an experiment's inputs that are files, without reading more of them than that needs."""

from __future__ import annotations

from pathlib import Path

from unpromptable import pictures
from unpromptable.miniature.sources import drawn_by
from unpromptable.storage import fingerprints

from .settings import Pictures

PACKAGE = Path(__file__).parents[1]


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

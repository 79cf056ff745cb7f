"""Names of targets replaced by short digests, in what a run keeps as text."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from unpromptable import data
from unpromptable.planning import slugs
from unpromptable.reporting.reports import markdown
from unpromptable.storage import databases, files, inventory

from .cut import is_artifact
from .found import is_text

SHORT = 3  # letters below which a name is replaced only where it stands alone as a value
DATABASE = "mlflow.db"
DIGEST = r"target-[0-9a-f]{12}"


def digest(name: str) -> str:
    """What stands for a target's name: 12 digits of its SHA-256; for what stands for one already, itself."""
    if re.fullmatch(DIGEST, name):
        return name
    return f"target-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Renaming:
    """The targets whose names go."""

    targets: tuple[str, ...]

    @cached_property
    def forms(self) -> dict[str, str]:
        """Every way in which a name is written down, the longest first: what stands for it."""
        found: dict[str, str] = {}
        for target in self.targets:
            for form in _forms(target):
                found.setdefault(form, digest(target))
        return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Any of the forms, as a word of its own."""
        return re.compile("|".join(map(_bounded, self.forms)))

    def text(self, text: str) -> str:
        """A text without the names."""
        return self.pattern.sub(lambda found: self.forms[found[0]], text)

    def touches(self, text: str) -> bool:
        """Whether a text holds a name."""
        return self.text(text) != text


def _forms(target: str) -> list[str]:
    """A name as it is, as a path and its last part, as a folder's name; each as JSON, Markdown and addresses
    write it.
    """
    path = PurePosixPath(target)
    plain = [target, os.path.normpath(target), path.name if path.suffix or len(path.parts) > 1 else target]
    written = [
        form
        for one in plain
        for form in (one, *_escaped(one), quote(one), quote(one, safe=""), markdown.words(one))
    ]
    folders = [s for s in map(slugs.slug, plain) if len(s) > SHORT]
    return [*written, *folders]


def _escaped(text: str) -> list[str]:
    """As JSON writes it, and JSON in JSON."""
    once = json.dumps(text)[1:-1]
    return [once, json.dumps(once)[1:-1]]


def _bounded(form: str) -> str:
    text = re.escape(form)
    if len(form) < SHORT:
        return rf"(?:(?<=[\"'/])|(?<=, )|^){text}(?=[\"']|, |$)"
    begins, ends = (r"(?<![^\W_])", r"(?![^\W_])")
    return f"{begins if form[0].isalnum() else ''}{text}{ends if form[-1].isalnum() else ''}"


def rewrite(root: Path, renaming: Renaming) -> None:
    """Take the names out of every text of a run, its folders' names, its artifacts' manifests and its own
    database; what was finished stays so.
    """
    for name in inventory.names(root):
        if is_text(name):
            text(root, root / name, renaming)
        elif name.endswith(".safetensors"):
            _manifest(root, root / name, renaming)
    for name in inventory.names(root):
        if renaming.touches(name):
            inventory.rename(root, name, renaming.text(name))
    if (root / DATABASE).is_file():
        databases.rewrite(root / DATABASE, renaming.text)


def text(root: Path, path: Path, renaming: Renaming) -> None:
    """Take the names out of one text below a folder; what was finished stays so."""
    before = files.refetch(path).read_text(encoding="utf-8", errors="surrogateescape")
    after = renaming.text(before)
    if after == before:
        return
    marks = _marks(root, path)
    with files.replacing(path) as temporary:
        temporary.write_text(after, encoding="utf-8", errors="surrogateescape")
    files.publish(path)
    for output, key in marks:
        files.finish(output, key)


def _manifest(root: Path, path: Path, renaming: Renaming) -> None:
    """An image artifact's manifest without the names."""
    if not is_artifact(files.fetch(path)):
        return
    arrays, manifest = data.load(path)
    told = json.loads(renaming.text(json.dumps(manifest)))
    if told != manifest:
        files.clear(path)
        data.save(path, arrays, told)
        files.publish(path)


def _marks(root: Path, path: Path) -> list[tuple[Path, str]]:
    """What is finished and holds a file: the file itself or a folder above it, with their keys."""
    found = []
    for one in (path, *path.parents):
        if one == root:
            break
        key = inventory.key(one)
        if key:
            found.append((one, key))
    return found

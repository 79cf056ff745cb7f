"""A request to forget: which model, which pictures, what to keep, and when a fix may be released."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from unpromptable import pictures
from unpromptable.planning import plugins, reading
from unpromptable.planning.validation import CONFIG, build

from . import gates

Pictures = Annotated[tuple[str, ...], Field(min_length=1)]
ATTEMPTS = 6  # more would be a sweep; as many pods has `pipelines/hotfix.py`

# settings that the request itself says, by its own keys: what is certified is what was asked
OWN = {
    **{"forget": "forget", "real": "keep", "prompt": "prompt", "metrics": "gates", "model": "model"},
    **{"model.source": "model", "model.name": "family", "world": "world", "editor": "editors"},
}
CHAMPION = "champion"  # as `model`: of the series, whatever version that is when the request begins


@dataclass(frozen=True, config=CONFIG)
class Request:
    """What the file of a request may hold; paths in it are relative to the file, but those in
    `settings`, which are an experiment's.
    """

    name: str  # a reference, such as a ticket's number: it stands in names and files, so no person's name
    model: str  # a diffusers folder, a name on the hub, or of a series its champion
    forget: Pictures
    keep: str  # a folder of pictures that the model is to go on producing
    series: str = ""  # the name of what this model is a version of; without it nothing is registered
    labels: str = ""  # a CSV file of lines name,group: no group of pictures to keep may lose much more
    surrogates: str = ""  # a folder of painted pictures; without it attempts make their own
    family: str = "ddpm"
    prompt: str = ""  # of a prompted family
    world: Literal["miniature", "paper"] = "paper"  # whose hyperparameters hold
    # metric -> bound, over or under which nothing is released, in place of a default (`gates.of`)
    gates: dict[str, float] = Field(default_factory=dict)
    editors: tuple[str, ...] = ()  # that make surrogates, in the order they are tried; `attempts.EDITORS`
    attempts: Annotated[int, Field(ge=1, le=ATTEMPTS)] = 6  # the budget: cells that are trained at most
    due: str = ""  # the day by which it is to be done, 2026-12-24
    settings: dict[str, Any] = Field(default_factory=dict)  # dotted keys, as --set of `local`

    def __post_init__(self) -> None:
        check_name("request.name", self.name)
        if self.series:
            check_name("request.series", self.series)
        self._check_series()
        _check_once(self.forget, map(os.path.normpath, self.forget))
        gates.check(self.gates)
        for key in self.settings:
            if key in OWN:
                raise ValueError(
                    f"request.settings has {key}, which a request says as {OWN[key]}; say it there"
                )
        for name in self.editors:
            plugins.make("editor", name)  # raises for a name that is none
        if self.due:
            try:
                date.fromisoformat(self.due)
            except ValueError as error:
                raise ValueError(f"request.due is {self.due!r}; give a day such as 2026-12-24") from error

    def _check_series(self) -> None:
        """A series goes on from whole models, and the champion is one's."""
        if self.model == CHAMPION and not self.series:
            raise ValueError("request.model is champion, but no series is named; add `series`, or a folder")
        if self.series and self.prompt:
            raise ValueError(
                f"request.series is {self.series!r}, but a prompted family releases an adapter beside its"
                " base, and a series goes on from whole models; leave series out"
            )

    def to_text(self) -> str:
        """As YAML, which `parse` reads."""
        return reading.write(asdict(self))

    @property
    def parts(self) -> tuple[str, ...]:
        """The gates on parts of what is kept that a request has without setting them."""
        found = {"group": self.labels, "lpips_prompts": self.settings.get("other_prompts")}
        return tuple(name for name, given in found.items() if given)

    def experiment(self, cells: list[dict[str, Any]]) -> dict[str, Any]:
        """The experiment that tries these cells, as plain values."""
        prompted = {"prompt": self.prompt} if self.prompt else {}
        labelled = {"group": {"name": "group", "labels": self.labels}} if self.labels else {}
        return {
            "name": self.name,
            "title": f"Request {self.name}",
            "model": {"name": self.family, "source": self.model},
            "real": self.keep,
            "forget": list(self.forget),
            "metrics": [labelled.get(m, m) for m in gates.metrics([*self.parts, *self.gates])],
            "cells": cells,
            **prompted,
        }


def check_name(where: str, given: str) -> None:
    """Raise ValueError for a name that could not be a folder's."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", given):
        raise ValueError(
            f"{where} is {given!r}; it names folders, so use up to 63 letters, digits, dots, dashes and"
            " underscores, such as ticket-4711"
        )


def _check_once(forget: Sequence[str], files: Iterable[str]) -> None:
    """Raise ValueError where two of the pictures to forget are one file."""
    if len(set(files)) < len(forget):
        raise ValueError(f"request.forget names a picture twice: {', '.join(forget)}")


def check_alone(asked: Request) -> None:
    """Raise ValueError for a request of a series, where the series' folder is out of reach."""
    if asked.series:
        raise ValueError(
            f"request.series is {asked.series!r}, but the targets of earlier requests lie on their operator's"
            " machine; answer it there by `hotfix`, or leave series out"
        )


def read(path: Path) -> Request:
    """The request in a file. Raises ValueError or FileNotFoundError, one line that says what is wrong."""
    return opened(path)[0]


def opened(path: Path) -> tuple[Request, str]:
    """The request in a file, and SHA-256 of the very bytes that say it. Raises as `read` does."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such request; write one with name, model, forget and keep")
    content = path.read_bytes()
    asked = _located(parse(reading.text(content, str(path)), str(path)), path.resolve().parent)
    return asked, hashlib.sha256(content).hexdigest()


def parse(text: str, where: str = "request") -> Request:
    """The request in a text, its paths as they are. Raises ValueError that begins with `where`."""
    value = reading.value(text, where)
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a mapping with name, model, forget and keep")
    return build(Request, {k: str(v) if k == "due" else v for k, v in value.items()}, "request")


def _all_labelled(labels: str, keep: str) -> None:
    """Raise ValueError where the labels are not lines of name,group, one for each picture to keep."""
    known = plugins.make("metric", "group", {"labels": labels}).labelled()
    names = pictures.find(keep).names
    if missing := [name for name in names if name not in known]:
        raise ValueError(
            f"request.labels: {labels} has no line for {missing[0]}, a picture of {keep} ({len(missing)} of"
            f" {len(names)} are missing); give name,group for each"
        )


def _located(asked: Request, home: Path) -> Request:
    """The same with every path made absolute; a model that is no folder there is a hub's name."""
    at = lambda given: str((home / given).resolve())
    wanted = {"keep": asked.keep, "surrogates": asked.surrogates}
    for name, given in wanted.items():
        if given and given != "miniature" and not Path(at(given)).is_dir():
            raise FileNotFoundError(f"request.{name}: {at(given)} is no folder; name one with pictures")
    if asked.labels and not Path(at(asked.labels)).is_file():
        raise FileNotFoundError(f"request.labels: {at(asked.labels)} is no file; give lines of name,group")
    if asked.labels and asked.keep != "miniature":
        _all_labelled(at(asked.labels), at(asked.keep))
    for picture in asked.forget:
        if asked.keep != "miniature" and not Path(at(picture)).is_file():
            raise FileNotFoundError(f"request.forget: {at(picture)} is no file; name the picture's file")
    if asked.keep != "miniature":
        _check_once(asked.forget, map(at, asked.forget))
    here = asked.model != CHAMPION and (home / asked.model).is_dir()
    keep = asked.keep if asked.keep == "miniature" else at(asked.keep)
    return replace(
        asked,
        model=at(asked.model) if here else asked.model,
        keep=keep,
        labels=at(asked.labels) if asked.labels else "",
        surrogates=at(asked.surrogates) if asked.surrogates else "",
        forget=asked.forget if keep == "miniature" else tuple(map(at, asked.forget)),
    )

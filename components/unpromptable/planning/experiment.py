"""Text to frozen, validated objects: what an experiment and its cells are."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, field
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from unpromptable import protocols

from . import plugins, slugs
from .reading import check_path, named, shown
from .settings import (
    Choice,
    Injection,
    Networks,
    Pictures,
    Quality,
    Remember,
    Report,
    Sampling,
    Source,
    Training,
)
from .validation import CONFIG, build, fields_of

BLOCKS = {
    "model": Source,
    "sampling": Sampling,
    "injection": Injection,
    "networks": Networks,
    "remember": Remember,
    "pictures": Pictures,
    "quality": Quality,
    "report": Report,
}
ELSEWHERE = {
    "size": (
        "there is no such setting: pictures are brought to the model's own size (of the family sd3:"
        " model.pixels)"
    )
} | dict.fromkeys(
    ("method", "editor", "training"),
    "it belongs to cells: say it in `base` for all of them, or in one of `cells`",
)
IN_YAML = (
    "base",
    "cells",
    "sweep",
    "worlds",
)  # words of an experiment's YAML that are no settings of its own
# where the settings of a cell's method and training come from: every value that the paper states for it is
# the paper's; every value is that of its released code; one was chosen for what it does in this world
Origin = Literal["", "as published in the paper", "as its code does", "tuned on our stage"]
METRICS = ("sscd", "lpips", "ssim", "fid_pre", "fid_real")  # the paper's, which every table and verdict needs


def made(kind: str, choice: Choice) -> Choice:
    """A choice with what it names, made of its settings. Raises ValueError where these are wrong."""
    if plugins.KINDS[kind].protocol in type(choice.made).__mro__:
        return choice
    complete = Choice(choice.name, choice.settings)
    object.__setattr__(complete, "made", plugins.make(kind, choice.name, choice.settings))
    return complete


ChosenMethod = Annotated[Choice, AfterValidator(partial(made, "method"))]
ChosenEditor = Annotated[Choice, AfterValidator(partial(made, "editor"))]
ChosenMetric = Annotated[Choice, AfterValidator(partial(made, "metric"))]


@dataclass(frozen=True, config=CONFIG)
class Cell:
    """One point of the sweep. `method.made` is its Method, `editor.made` its Editor."""

    name: str
    method: ChosenMethod
    editor: ChosenEditor
    training: Training
    forget: tuple[str, ...]
    # cells of one group that differ in targets and training seeds alone are also shown as one line, averaged
    group: str = ""
    # as published in the paper | as its code does | tuned on our stage; empty where nobody says
    origin: Origin = ""
    # a model that was unlearned elsewhere, which is judged in place of one that is trained here: a folder as
    # the base model's
    unlearned: str = ""

    @property
    def slug(self) -> str:
        """The name as a folder."""
        return slugs.slug(self.name)

    @property
    def digest(self) -> str:
        """Six digits that tell the name from others."""
        return slugs.digest(self.name)

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > 1000:
            raise ValueError(f"cell {shown(self.name)}: give a name of 1 to 1000 letters")
        if not self.forget:
            raise ValueError(f"cell {shown(self.name)}: no forget image; name at least one")
        for target in self.forget:
            check_path(f"cell {shown(self.name)}: forget", target)


@dataclass(frozen=True, config=CONFIG)
class Experiment:
    """What all cells share; changing any of it changes every cell."""

    name: str
    world: str
    real: str  # miniature, or a folder of images
    forget: tuple[str, ...]
    model: Source = Source()
    sampling: Sampling = Sampling()
    injection: Injection = Injection()
    networks: Networks = Networks()
    # of a prompted family: part of the model's condition in training, sampling and evaluation
    prompt: str = ""
    other_prompts: tuple[str, ...] = ()  # whose outputs are to stay as they are, in turn over the seeds
    remember: Remember = Remember()
    pictures: Pictures = Pictures()
    quality: Quality = Quality()
    report: Report = Report()
    # what is measured: files of metrics/ with their settings
    metrics: tuple[ChosenMetric, ...] = field(
        default_factory=lambda: tuple(made("metric", Choice(m)) for m in METRICS)
    )
    title: str = ""
    description: str = ""
    paper: tuple[dict[str, Any], ...] = ()  # the paper's own rows, shown beside ours

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", self.name):
            raise ValueError(
                f"experiment.name is {shown(self.name)}; it names folders and runs, so use up to 63 letters,"
                " digits, dots, dashes and underscores"
            )
        check_path("real", self.real)
        family = self.family
        if self.sampling.sampler not in family.samplers:
            raise ValueError(
                f"sampling.sampler: the family {self.model.name} has no {shown(self.sampling.sampler)};"
                f" choose from {', '.join(family.samplers)}"
            )
        asked = self.prompt or self.other_prompts or self.remember.prompts
        if not self.prompt if family.prompted else asked:
            raise ValueError(
                f"experiment.prompt is {shown(self.prompt)}, other_prompts {shown(list(self.other_prompts))},"
                f" remember.prompts {shown(list(self.remember.prompts))}; the family {self.model.name}"
                f" {'needs a prompt' if family.prompted else 'takes none'}"
            )
        self.family_settings()

        self._check_seeds()
        self._check_paper()
        self._check_metrics()

    def _check_paper(self) -> None:
        """A row of the paper's is a name and numbers."""
        for row in self.paper:
            numbers = [v for k, v in row.items() if k != "name"]
            plain = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in numbers)
            if not isinstance(row.get("name"), str) or not plain or not all(map(math.isfinite, numbers)):
                raise ValueError(
                    f"experiment.paper: got {shown(row)}; each row is a mapping of a name and numbers, such"
                    " as {name: Ours, sscd: 0.19}"
                )

    def _check_metrics(self) -> None:
        """Each metric is listed once, and the paper's five are among them."""
        names = [c.name for c in self.metrics]
        if twice := [n for n in names if names.count(n) > 1]:
            raise ValueError(
                f"experiment.metrics: {twice[0]} is listed {names.count(twice[0])} times; list each metric"
                " once"
            )
        missing = [m for m in METRICS if m not in names]
        if missing:
            raise ValueError(
                f"experiment.metrics: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing;"
                f" list the paper's five ({', '.join(METRICS)}), and others beside them"
            )

    def _check_seeds(self) -> None:
        """The outputs that are remembered must not be those that are judged."""
        kept, judged = (
            self.remember,
            range(self.sampling.first_seed, self.sampling.first_seed + self.sampling.images),
        )
        drawn = range(kept.first_seed, kept.first_seed + 5 * kept.images)
        if kept.source == "model" and drawn.start < judged.stop and judged.start < drawn.stop:
            raise ValueError(
                f"remember.first_seed is {kept.first_seed}: outputs remembered from seeds"
                f" {drawn.start}..{drawn.stop - 1} would be among those judged,"
                f" {judged.start}..{judged.stop - 1}; set it apart from them"
            )

    @property
    def family(self) -> protocols.Family:
        """What the base model is of."""
        return plugins.make("model", self.model.name)

    def family_settings(self) -> Any:
        """The model's settings as its family's dataclass; None for a family without settings."""
        if self.family.settings:
            return build(self.family.settings, self.model.settings, "model")
        if self.model.settings:
            raise ValueError(
                f"model: the family {self.model.name} has no settings, got"
                f" {', '.join(map(named, self.model.settings))}"
            )
        return None


def to_json(thing: Any) -> dict[str, Any]:
    """Any of the above as plain values: choices as they were given, without what was made of them."""
    return asdict(thing, dict_factory=lambda pairs: {k: v for k, v in pairs if k != "made"})


def read_cell(value: dict[str, Any]) -> Cell:
    """A cell from what `to_json` wrote or a merged YAML mapping; settings are checked against their files."""
    parts = dict(value)
    for kind in ("method", "editor"):
        parts[kind] = made(kind, _choice(parts.get(kind), kind))
    parts["training"] = build(Training, parts.get("training") or {}, "training")
    return build(Cell, parts, f"cell {shown(parts.get('name', ''))}")


def read_experiment(value: dict[str, Any]) -> Experiment:
    """An experiment from what `to_json` wrote or a merged YAML mapping."""
    parts = dict(value)
    for key, words in ELSEWHERE.items():
        if key in parts:
            raise ValueError(f"experiment: no setting {key!r}; {words}")
    for key, cls in BLOCKS.items():
        given = parts.get(key) or {}
        given = {"name": given} if isinstance(given, str) else given
        parts[key] = build(
            cls, _with_settings(given) if cls is Source and isinstance(given, dict) else given, key
        )
    if "metrics" in parts:
        listed = parts["metrics"]
        if not isinstance(listed, (list, tuple)):
            raise ValueError(
                f"experiment.metrics: got {shown(listed)}; give a list such as [{', '.join(METRICS)}]"
            )
        parts["metrics"] = tuple(made("metric", _choice(m, "metrics")) for m in listed)
    return build(Experiment, parts, "experiment", (*IN_YAML, *ELSEWHERE))


def _with_settings(given: dict[str, Any]) -> dict[str, Any]:
    """A model's own keys, and apart from them those of its family."""
    if plugins.find("model", given.get("name", Source.name)).settings is None:
        return given
    if not isinstance(given.get("settings") or {}, dict):
        raise ValueError(f"model.settings: got {shown(given['settings'])}; give a mapping")
    own = fields_of(Source)
    theirs = {k: v for k, v in given.items() if k not in own}
    return {
        **{k: v for k, v in given.items() if k in own},
        "settings": {**(given.get("settings") or {}), **theirs},
    }


def _choice(value: Any, kind: str) -> Choice:
    """`siss`, `{name: siss, mixture: 0.3}` or `{name: siss, settings: {...}}` to a Choice."""
    if isinstance(value, str):
        return Choice(value)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError(
            f"{kind}: got {shown(value)}; give a name, or a mapping with `name` and its settings"
        )
    if not isinstance(value.get("settings") or {}, dict):
        raise ValueError(f"{kind}.settings: got {shown(value['settings'])}; give a mapping")
    rest = {k: v for k, v in value.items() if k not in ("name", "settings")}
    return Choice(value["name"], {**(value.get("settings") or {}), **rest})

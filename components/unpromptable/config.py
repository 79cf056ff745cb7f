"""Text to frozen, validated objects: what an experiment and its cells are."""
from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from . import plugins
from .blocks import Choice, Injection, Networks, Quality, Remember, Sampling, Source, Training

METRICS = ("sscd", "lpips", "ssim", "fid_pre", "fid_real")  # the paper's, which every table and verdict needs


@dataclass(frozen=True)
class Cell:
    """One point of the sweep."""

    name: str
    method: Choice
    editor: Choice
    training: Training
    forget: tuple[str, ...]
    group: str = ""  # cells of one group that differ in their targets alone are also shown as one line, averaged

    @property
    def slug(self) -> str:
        """The name as a folder: lower case, letters, digits and dashes, with a dagger spelled out."""
        text = self.name.lower().replace("\u2020", "-dagger")
        return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text).split()) or "cell"


@dataclass(frozen=True)
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
    prompt: str = ""  # of a prompted family: part of the model's condition in training, sampling and evaluation
    other_prompts: tuple[str, ...] = ()  # whose outputs are to stay as they are, in turn over the seeds
    remember: Remember = Remember()
    quality: Quality = Quality()
    metrics: tuple[Choice, ...] = tuple(Choice(m) for m in METRICS)  # what is measured: files of metrics/ with their settings
    size: int = 0  # pixels a side to which folders of images are brought; 0 is the model's own
    title: str = ""
    description: str = ""
    paper: tuple[dict[str, Any], ...] = ()  # the paper's own rows, shown beside ours

    def __post_init__(self):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", self.name):
            raise ValueError(f"experiment.name is {self.name!r}; it names folders and runs, so use up to 63 letters, digits, dots, dashes and underscores")
        family = plugins.module("model", self.model.name)
        prompted = hasattr(family, "Settings")
        if self.sampling.sampler not in family.SAMPLERS:
            raise ValueError(f"sampling.sampler: the family {self.model.name} has no {self.sampling.sampler!r}; choose from {', '.join(family.SAMPLERS)}")
        if bool(self.prompt) != prompted or (self.other_prompts or self.remember.prompts) and not prompted:
            raise ValueError(f"experiment.prompt is {self.prompt!r}, other_prompts {list(self.other_prompts)}, remember.prompts {list(self.remember.prompts)}; the family {self.model.name} {'needs a prompt' if prompted else 'takes none'}")
        self.family_settings()

        missing = [m for m in METRICS if m not in [c.name for c in self.metrics]]
        if missing:
            raise ValueError(f"experiment.metrics: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; list the paper's five ({', '.join(METRICS)}), and others beside them")

    def family_settings(self) -> Any:
        """The model's settings as its family's dataclass; None for a family without settings."""
        family = plugins.module("model", self.model.name)
        if hasattr(family, "Settings"):
            return plugins.build(family.Settings, self.model.settings, "model")
        if self.model.settings:
            raise ValueError(f"model: the family {self.model.name} has no settings, got {', '.join(self.model.settings)}")
        return None


def to_json(thing: Any) -> dict[str, Any]:
    """Any of the above as plain values."""
    return asdict(thing)


def read_cell(value: dict[str, Any]) -> Cell:
    """A cell from what `to_json` wrote or a merged YAML mapping; settings are checked against their files."""
    parts = dict(value)
    for kind in ("method", "editor"):
        choice = _choice(parts.get(kind), kind)
        plugins.make(kind, choice.name, choice.settings)
        parts[kind] = choice
    parts["training"] = plugins.build(Training, dict(parts.get("training") or {}), "training")
    parts["forget"] = tuple(parts.get("forget") or ())
    return plugins.build(Cell, parts, f"cell {parts.get('name', '')}".strip())


def read_experiment(value: dict[str, Any]) -> Experiment:
    """An experiment from what `to_json` wrote or a merged YAML mapping."""
    parts = dict(value)
    for key, cls in (("model", Source), ("sampling", Sampling), ("injection", Injection), ("networks", Networks), ("remember", Remember), ("quality", Quality)):
        given = parts.get(key) or {}
        given = {"name": given} if isinstance(given, str) else dict(given)
        parts[key] = plugins.build(cls, _with_settings(given) if cls is Source else given, key)
    if "metrics" in parts:
        parts["metrics"] = tuple(_choice(m, "metrics") for m in parts["metrics"])
        for choice in parts["metrics"]:
            plugins.make("metric", choice.name, choice.settings)
    return plugins.build(Experiment, parts, "experiment")


def _with_settings(given: dict[str, Any]) -> dict[str, Any]:
    """A model's own keys, and apart from them those of its family."""
    family = plugins.module("model", given.get("name", Source.name))
    if not hasattr(family, "Settings"):
        return given
    own = plugins.fields_of(Source)
    theirs = {k: v for k, v in given.items() if k not in own}
    return {**{k: v for k, v in given.items() if k in own}, "settings": {**given.get("settings", {}), **theirs}}


def _choice(value: Any, kind: str) -> Choice:
    """`siss`, `{name: siss, mixture: 0.3}` or `{name: siss, settings: {...}}` to a Choice."""
    if isinstance(value, str):
        return Choice(value)
    if not isinstance(value, dict) or "name" not in value:
        raise ValueError(f"{kind}: got {value!r}; give a name, or a mapping with `name` and its settings")
    rest = {k: v for k, v in value.items() if k not in ("name", "settings")}
    return Choice(value["name"], {**value.get("settings", {}), **rest})

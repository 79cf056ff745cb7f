"""report.html: one self-contained page to send to a colleague."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import data, protocols
from unpromptable.planning import cost, plugins
from unpromptable.planning.experiment import Experiment
from unpromptable.reporting import equal, figures, groups, paired, pareto, pictures, relearning, tables, took
from unpromptable.reporting.row import Line, Row
from unpromptable.reporting.veil import veiled
from unpromptable.scoring import verdict
from unpromptable.storage import files, once

from . import prompted

MORE = (
    ("sscd_ceiling", "target, before"),
    ("sscd_target", "target, after"),
    ("sscd_surrogate", "surrogate, after"),
    ("fid_real_floor", "FID_real of the base model"),
)

COPIES = 12  # near copies of targets that are shown


@dataclass(frozen=True)
class Copy:
    """A near copy of a target: how like it is, and its picture as text, None where it is left out."""

    name: str
    similarity: float
    picture: str | None


@dataclass(frozen=True)
class KeptOut:
    """What the folder of real images held besides, what was done to some, and the near copies of a target."""

    said: dict[str, str] = field(default_factory=dict)
    copies: tuple[Copy, ...] = ()
    more: int = 0  # copies that are not shown


@dataclass(frozen=True)
class Beyond:
    """A metric that an experiment lists beside the paper's five: what it is, and its values' names."""

    what: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Rates:
    """Of a prompted model: how often it was wrong and right before and after, and what other prompts kept."""

    titles: list[str]
    cells: list[list[str]]
    prompts: tuple[list[str], list[list[str]]] | None
    before: list[str]  # wrong and right
    strips: list[tuple[str, str]]  # names and pictures


@dataclass(frozen=True)
class Report(protocols.Report):
    """The page of a whole run."""

    def write(self, store: Path, experiment: Experiment, rows: Sequence[Row], state: str) -> Path:
        """Write the page of a whole run into its folder."""
        path = store / "report.html"
        files.write_text(path, render(store, experiment, rows, state, store / "figures"))
        return path


def render(store: Path, experiment: Experiment, rows: Sequence[Row], state: str, folder: Path) -> str:
    """The page of these rows, one line per group; plots are also left in `folder` as PNG."""
    return template("report").render(found(store, experiment, rows, state, folder))


def result(store: Path, experiment: Experiment, rows: Sequence[Row], state: str) -> str:
    """The part of the page that a page of several runs shows: verdict, table, plots and pictures."""
    return template("result").render(found(store, experiment, rows, state, store / "figures"))


def template(name: str) -> Any:
    """A page of templates/; text is escaped, and a word without a value is an error."""
    import jinja2

    loader = jinja2.PackageLoader("unpromptable", "reporting/reports/templates")
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template(f"{name}.html.j2")


def found(
    store: Path, experiment: Experiment, rows: Sequence[Row], state: str, folder: Path
) -> dict[str, Any]:
    """What the templates show."""
    done, lines = figures.finished(rows), groups.collect(rows, experiment.paper)
    return dict(
        experiment=experiment,
        rows=rows,
        told=once.failure(store),
        done=done,
        lines=lines,
        grouped=groups.grouped(lines),
        state=state,
        verdict=tables.verdict(lines),
        columns=verdict.COLUMNS,
        more=[(k, t) for k, t in MORE if any(r.metrics.get(k) for r in done)],
        beyond=_beyond(experiment, lines),
        show=tables.show,
        spread=tables.spread(lines),
        kept=equal.of(store, rows, lines),
        equal=equal,
        pairs=paired.of(rows, lines),
        paired=paired,
        origins=tables.origins(lines),
        unprinted=tables.unprinted,
        cells=tables.cells,
        differing=tables.differing(rows),
        doubts=tables.doubts(done),
        kept_out=_kept_out(store, experiment.report.pictures),
        pictures=experiment.report.pictures,
        drawn=_drawn(experiment, done),
        took=took.table(lines, took.shared(store)),
        rate=cost.RATE,
        labels=done[0].labels if done else {},
        n=tables.images(done) if done else 0,
        rates=_rates(store, experiment, done),
        **_pictures(store, experiment, rows, lines, folder),
    )


def _drawn(experiment: Experiment, done: Sequence[Row]) -> str:
    """How the images were sampled and which timesteps each method trained on, where the codes compared with
    differ.
    """
    s = experiment.sampling
    theirs = " (SISS's code: by ddpm)" if s.sampler == "ddim" else ""
    words = f"Sampled by {s.sampler} in {s.steps} steps{theirs}"
    ranges: dict[str, list[str]] = {}
    for row in done:
        if "unlearned" in row.settings:
            continue
        span = "..".join(
            dict.fromkeys(str(row.settings.get(f"training.{k}", "?")) for k in ("t_min", "t_max"))
        )
        ranges.setdefault(span, []).append(row.name)
    each = "; ".join(
        f"{span}: {', '.join(names)}" if len(ranges) > 1 else span for span, names in ranges.items()
    )
    trained = f" Timesteps of training, in thousandths of the process (SISS's code: 999 alone): {each}."
    return f"{words}.{trained if each else ''}"


def _kept_out(store: Path, how: str) -> KeptOut:
    """What was found in the store's pictures; near copies of a target are seen as it is."""
    file = store / "shared" / "data.safetensors"
    if not file.is_file():
        return KeptOut()
    screened, manifest = data.peek(file, "screened")
    copies = list(manifest.get("copies", {}).items())
    shown = tuple(
        Copy(name, similarity, _embed(veiled(picture, how)))
        for (name, similarity), picture in zip(copies[:COPIES], () if screened is None else screened)
    )
    return KeptOut(manifest.get("said", {}), shown, len(copies) - len(shown))


def _beyond(experiment: Experiment, lines: Sequence[Line]) -> list[Beyond]:
    """Those of the experiment's metrics that have no column and are none of a prompted model's rates."""
    shown = {c.metric for c in verdict.COLUMNS} | {"wrong", "lpips_kept"}
    names = [m.name for m in experiment.metrics if m.name not in shown]
    keys = list(dict.fromkeys(k for line in lines if line.done for k in line.means()))
    drawn = relearning.POINT.fullmatch  # a curve, which is shown as one
    mine = lambda name: tuple(k for k in keys if (k == name or k.startswith(f"{name}_")) and not drawn(k))
    return [Beyond(plugins.says("metric", name), mine(name)) for name in names]


def _rates(store: Path, experiment: Experiment, done: Sequence[Row]) -> Rates | None:
    """The rates of a prompted model; None where it has none."""
    if not experiment.prompt or not done or "wrong" not in done[0].metrics:
        return None
    before = [prompted.share(done[0].value(k)) for k in ("wrong_before", "right_before")]
    strips = [(name, _uri(part)) for name, part in prompted.strips(store, experiment, done)]
    return Rates(*prompted.table(done), prompted.prompts(experiment, done), before, strips)


def _pictures(
    store: Path, experiment: Experiment, rows: Sequence[Row], lines: Sequence[Line], folder: Path
) -> dict[str, Any]:
    """The plots, and the pictures of targets, surrogates and models."""
    how = experiment.report.pictures
    curves = figures.curves_plot(store, rows, lines, folder) if rows else None
    again = relearning.plot(folder, lines)
    shown = {"curves": curves and embedded(curves), "relearned": again and embedded(again)}
    none = {"comparison": (), "surrogates": pictures.Surrogates()}
    if not figures.finished(rows):
        return {**shown, "plots": (), **none}
    plots = [embedded(figures.forgetting_plot(folder, lines)), embedded(pareto.plot(folder, lines))]
    if not (store / "shared" / "data.safetensors").is_file():  # a run that was purged
        return {**shown, "plots": plots, **none}
    return {
        **shown,
        "plots": plots,
        "comparison": _embed(pictures.comparison(store, rows, lines, how)),
        "surrogates": _embed(pictures.surrogates(store, rows, lines, how)),
    }


def _embed(value: Any) -> Any:
    """The same structure with every picture (H, W, 3), or row of them, as text that a page can hold."""
    if isinstance(value, np.ndarray):
        return _uri(value) if value.ndim == 3 else [_uri(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _embed(getattr(value, f.name)) for f in fields(value)})
    return tuple(_embed(v) for v in value) if isinstance(value, tuple) else value


def _uri(image: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(pictures.png(image)).decode()


def embedded(path: Path) -> str:
    """A PNG file as text that a page can hold."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()

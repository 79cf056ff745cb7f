"""What each step of the DAG does: skip what is finished, resume what is half done, compute the rest, hand it
on.

Heavy imports are inside the functions, so that a step with nothing to do costs no more than its process. A
cell's step that fails in a foreseeable way (`once.guarded`) lets the other cells finish; after `score` the
step of that cell fails.
"""

from __future__ import annotations

import html
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unpromptable.models import device
from unpromptable.reporting import rows
from unpromptable.reporting.row import Row
from unpromptable.storage import attempts, once, store

from . import parts, report, step
from .warm_client import warmed


@step.opened
def plan(
    experiment: str, world: str, overrides: str, where: str, images_per_shard: int = 0, part: str = ""
) -> list[str]:
    """The ids of the cells, or of one part of them; <store>/experiment.json holds what they stand for, and
    their MLflow runs.

    Bad input gives no cell, and experiment.json holds what can be read without the experiment's files.
    """
    from unpromptable.planning import plan as planning

    mine = parts.read(part)
    if mine.first:
        store.remove(store.place(where, once.SHARED, "failed.json"))
    else:
        parts.await_first(where, mine)
    with once.Shared(where, "plan"):
        try:
            return _planned(
                planning.resolve(experiment, world, json.loads(overrides)), where, images_per_shard, mine
            )
        except once.BAD_INPUT:
            store.remove(Path(where) / "experiment.json")
            _planned(
                planning.resolve(experiment, world, json.loads(overrides), inputs=False),
                where,
                images_per_shard,
                mine,
            )
            raise
    return []


def _planned(resolved: Any, where: str, images_per_shard: int, mine: parts.Part) -> list[str]:
    from unpromptable import tracking
    from unpromptable.planning import plan as planning
    from unpromptable.planning import settings as blocks
    from unpromptable.planning.experiment import to_json

    specs, shared = resolved.cell_specs(), json.loads(resolved.shared_spec())
    pieces = blocks.shards(resolved.experiment.sampling, images_per_shard)
    target = Path(where) / "experiment.json"
    # what was asked and where it is kept: a repeated or continued run is the same sweep
    sweep = f"{store.address(target)}:{resolved.key[:16]}"
    ids = tracking.open_runs(where, resolved.experiment.name, sweep, [rows.flat(s) for s in specs])
    for spec in specs:
        spec["run_id"] = ids.get(rows.slug(spec))
    whole = {
        **to_json(resolved.experiment),
        "shared": shared,
        "shards": pieces,
        "cells": specs,
        "key": resolved.key,
    }
    store.write_text(target, json.dumps(whole, indent=1))
    chosen = mine.of(planning.longest_first(specs))
    for spec in chosen:
        store.remove(store.place(where, spec, "failed.json"))
    parts.note(where, mine, "planned")
    return [f"{resolved.experiment.name}/{Path(spec['folder']).name}" for spec in chosen]


def spec_of(cell: str, where: str) -> dict[str, Any]:
    """What an id of `plan`, or of what all cells share, stands for: read from experiment.json, with the
    shards of a model's images.

    Raises ValueError where another sweep was planned in this store since.
    """
    planned, folder = (
        json.loads(store.fetch(Path(where) / "experiment.json").read_text()),
        cell.rpartition("/")[2],
    )
    found = [s for s in (planned["shared"], *planned["cells"]) if Path(s["folder"]).name == folder]
    if not found:
        raise ValueError(
            f"{where}: {folder} is no cell of the sweep that was planned last; give each sweep a store of"
            " its own"
        )
    return {**found[0], "shards": planned["shards"]}


@step.opened
def prepare(experiment: str, where: str) -> str:
    """Real and forget images, the base model; returns the id of what all cells share, empty where bad input
    stopped the run.
    """
    folder = store.place(where, once.SHARED, "")
    start = lambda attempt: attempts.child(_prepare, (where,), attempt)
    return attempts.persist("prepare", folder, start, lambda last: attempts.within(_prepare, (where,), last))


def _prepare(where: str) -> str:
    with once.Shared(where, "prepare") as this:
        if this.stopped:
            return ""
        spec = spec_of(once.SHARED["folder"], where)
        # a sweep in several runs has several of these steps
        with store.locked(store.place(where, spec, "prepare.lock")):
            once.make(where, spec, "prepare", "pretrained", "", lambda path, bar: _fetch(path, spec))
            once.make(
                where,
                spec,
                "prepare",
                "data.safetensors",
                "",
                lambda path, bar: _collect(path, Path(where) / "shared" / "pretrained", spec, bar),
            )
        return f"{spec['experiment']['name']}/shared"
    return ""


def _fetch(path: Path, spec: dict[str, Any]) -> None:
    from importlib import resources

    from unpromptable.planning import plugins
    from unpromptable.planning.experiment import read_experiment

    experiment = read_experiment(spec["experiment"])
    source = experiment.model
    shipped = Path(str(resources.files("unpromptable") / "miniature" / source.name))
    family = plugins.module("model", source.name)
    identity = family.fetch(source.source, path, source.revision, shipped)
    if hasattr(family, "check"):
        family.check(path, experiment)
    (path / "source.json").write_text(json.dumps({"identity": identity}))
    if hasattr(family, "ready"):
        family.ready(path, experiment)


def _collect(path: Path, pretrained: Path, spec: dict[str, Any], bar: Callable) -> None:
    from unpromptable import data
    from unpromptable.planning import plugins
    from unpromptable.planning.experiment import read_experiment
    from unpromptable.preparing import collect, remember_set

    experiment = read_experiment(spec["experiment"])
    family = plugins.module("model", experiment.model.name)
    size = family.pixels(pretrained, experiment)
    arrays, manifest = collect.collect(
        experiment.real, size, list(spec["targets"]), experiment.remember.leave_out, experiment.pictures
    )
    if hasattr(family, "shown"):
        arrays = {name: family.shown(pretrained, images) for name, images in arrays.items()}
    if experiment.remember.source == "model":
        drawn, told = remember_set.draw(experiment, pretrained, arrays["forget"], device.best(), bar)
        arrays, manifest = {**arrays, **drawn}, {**manifest, **told}
    else:
        arrays, manifest = remember_set.copies(experiment, arrays, manifest)
    data.save(path, arrays, manifest)


@step.opened
@warmed
def unlearn(cell: str, where: str, unlearned_path: str) -> None:
    """The surrogates of a cell, then the model fine-tuned until the targets are forgotten (Algorithm 1)."""
    spec = spec_of(cell, where)
    store.write_text(store.place(where, spec, "cell.json"), json.dumps(spec, indent=1))
    edit(spec, where)

    def make(path: Path, bar: Callable) -> None:
        from unpromptable import tracking
        from unpromptable.planning import plugins
        from unpromptable.unlearning import training

        cell, experiment = _parse(spec)
        images = training.Images.load(
            cell,
            shared(where, "data.safetensors"),
            str(store.fetch(store.place(where, spec, "surrogates.safetensors"))),
        )
        model = plugins.module("model", experiment.model.name).Model.load(
            shared(where, "pretrained"), device.best(), experiment
        )
        folder = path.parent / "training"
        began = time.monotonic()
        with tracking.live(spec["run_id"], folder / "history.jsonl"):
            summary = training.unlearn(cell, model, images, folder, bar)
        model.save(path)
        (path / "training.json").write_text(
            json.dumps({**summary, "seconds": round(time.monotonic() - began, 2)})
        )
        (folder / "history.jsonl").replace(path.parent / "history.jsonl")
        store.publish(path.parent / "history.jsonl")

    once.guarded(json.dumps(spec), where, "unlearn", "unlearned", unlearned_path, make)


def edit(spec: dict[str, Any], where: str) -> None:
    """The surrogates of a cell, built once for all cells that share them."""

    def make(path: Path, bar: Callable) -> None:
        from unpromptable.editing import surrogates

        store.deliver(
            surrogates.obtain(
                spec, where, shared(where, "data.safetensors"), shared(where, "pretrained"), bar
            ),
            str(path),
        )

    once.guarded(json.dumps(spec), where, "edit", "surrogates.safetensors", "", make)


def shared(where: str, name: str) -> str:
    """The path of what all cells share."""
    return str(store.fetch(Path(where) / "shared" / name))


@step.opened
@warmed
def sample(cell: str, where: str, pod: int, pods: int) -> None:
    """Shards pod, pod + pods, ... of a model's images, each with its share of the targets for the injection
    test; of the base model also their sum.

    Raises RuntimeError where the base model's images cannot be drawn, since no cell can be judged then.
    """
    spec = spec_of(cell, where)
    base = spec["folder"] == once.SHARED["folder"]
    for piece in spec["shards"][pod::pods]:
        with store.locked(store.place(where, spec, f"sample-{piece['shard']}.lock")):
            _sample(spec, piece, where, "pretrained" if base else "unlearned")
    told = once.failure(where)
    if base and told:
        raise RuntimeError(f"{told['step']}: {told['error']}")
    if base and all(store.finished(path, spec["key"]) for path in _shards(spec, where)):
        gather(spec, where, "before.safetensors")


def _sample(spec: dict[str, Any], piece: dict[str, int], where: str, model_name: str) -> None:
    def make(path: Path, bar: Callable) -> None:
        from unpromptable import data
        from unpromptable.planning import plugins
        from unpromptable.planning.experiment import read_experiment
        from unpromptable.sampling import chains

        experiment = read_experiment(spec["experiment"])
        weights = store.fetch(store.place(where, spec, model_name))
        model = plugins.module("model", experiment.model.name).Model.load(
            weights, device.best(), experiment, Path(shared(where, "pretrained"))
        )
        arrays, manifest = data.load(shared(where, "data.safetensors"))
        began, extra = time.monotonic(), {}
        test = experiment.injection
        for target in spec["targets"][piece["shard"] :: piece["shards"]]:
            image = arrays["forget"][manifest["forget_names"].index(target)]
            extra[f"injected/{target}"] = chains.inject(
                model,
                image,
                test.t,
                test.draws,
                test.seed,
                test.siss_compat,
                lambda k, n: bar(k, n, f"denoising {target}"),
                test.stride,
            )
        show = lambda k, n: bar(k, n, f"{piece['count']} images")
        images, seeds = chains.sample(model, experiment.sampling, piece["first"], piece["count"], show)
        if experiment.other_prompts:
            extra["others"], _ = chains.sample(
                model, experiment.sampling, piece["first"], piece["count"], show, experiment.other_prompts
            )
        data.save(
            path,
            {"samples": images, **extra},
            {"seeds": seeds, "seconds": round(time.monotonic() - began, 2)},
        )

    once.guarded(json.dumps(spec), where, f"sample {piece['first']}", _shard(piece), "", make)


def _shard(piece: dict[str, int]) -> str:
    return f"samples-{piece['shard']:04d}-of-{piece['shards']}.safetensors"


def _shards(spec: dict[str, Any], where: str) -> list[Path]:
    return [store.place(where, spec, _shard(piece)) for piece in spec["shards"]]


def gather(spec: dict[str, Any], where: str, name: str) -> str:
    """Shards of one model to one artifact, in the order of their seeds; refuses gaps. Returns its path."""

    def make(path: Path, bar: Callable) -> None:
        import numpy as np

        from unpromptable import data
        from unpromptable.planning.experiment import read_experiment

        shards = sorted(
            (data.load(store.fetch(p)) for p in _shards(spec, where)), key=lambda s: s[1]["seeds"][0]
        )
        seeds = [i for _, m in shards for i in m["seeds"]]
        wanted = read_experiment(spec["experiment"]).sampling
        missing = sorted(set(range(wanted.first_seed, wanted.first_seed + wanted.images)) - set(seeds))
        if missing or len(seeds) != wanted.images:
            raise ValueError(
                f"{path.stem}: seed {missing[0] if missing else seeds[0]} is"
                f" {'missing' if missing else 'drawn twice'}; remove the shards in {path.parent} and run"
                " again"
            )
        drawn = [k for k in ("samples", "others") if k in shards[0][0]]
        extra = {k: v for arrays, _ in shards for k, v in arrays.items() if k not in drawn}
        data.save(
            path,
            {**{k: np.concatenate([a[k] for a, _ in shards]) for k in drawn}, **extra},
            {"seeds": seeds, "seconds": sum(m["seconds"] for _, m in shards)},
        )

    path = store.place(where, spec, name)
    with store.locked(path.with_name(f"{name}.lock")):
        if not store.finished(path, spec["key"]):
            once.guarded(json.dumps(spec), where, "gather", name, "", make)
    return str(path)


@step.opened
@warmed
def score(cell: str, where: str, summary_to: str = "", page_to: str = "") -> dict[str, float]:
    """The numbers of a cell, whose row and page it writes; a failed cell has no numbers, and its row says
    what failed.
    """
    spec = spec_of(cell, where)
    path = store.place(where, spec, "row.json")
    before, after = (
        gather(s, where, n)
        for s, n in (
            (spec_of(once.SHARED["folder"], where), "before.safetensors"),
            (spec, "after.safetensors"),
        )
    )

    def make(row: Path, bar: Callable) -> None:
        from unpromptable.scoring import evidence

        cell, experiment = _parse(spec)
        unlearned = store.fetch(store.place(where, spec, "unlearned"))
        models = evidence.Models(experiment, Path(shared(where, "pretrained")), unlearned, device.best())
        surrogates = str(store.fetch(store.place(where, spec, "surrogates.safetensors")))
        values = evidence.score(
            cell,
            experiment,
            shared(where, "data.safetensors"),
            before,
            after,
            surrogates,
            Path(where) / "shared",
            models,
        )
        summary = json.loads((unlearned / "training.json").read_text())
        made = {
            **rows.head(spec),
            "status": "done",
            "error": None,
            **rows.tries(spec, where),
            **values,
            "seconds": {"unlearn": summary["seconds"], **values["seconds"]},
        }
        row.write_text(json.dumps(made, indent=1))
        report.page(where, Row.from_json(made))

    once.guarded(json.dumps({**spec, "key": spec["row_key"]}), where, "score", "row.json", "", make)
    from unpromptable.reporting.reports import markdown

    found = (
        json.loads(path.read_text()) if store.finished(path, spec["row_key"]) else rows.failed(spec, where)
    )
    for name, to in (("page.md", summary_to), ("page.html", page_to)):
        page = store.fetch(path.with_name(name))
        if to and page.is_file():
            store.deliver(page, to)
        elif to:
            told = f"{found['name']}: {found['error']}"
            store.write_text(Path(to), html.escape(told) if name == "page.html" else markdown.words(told))
    return rows.scalars(found)


def train(folder: str, out: str, size: int, flip: bool, show: Callable, **settings: Any) -> dict[str, Any]:
    """Train a DDPM on a folder of images, so that an experiment can name both folders."""
    from unpromptable import pictures
    from unpromptable.planning.plugins import build
    from unpromptable.pretraining.ddpm import Pretraining, asked, fits, pretrain
    from unpromptable.pretraining.resuming import resumable, untrained

    chosen = build(Pretraining, settings, "pretraining")
    fits(size, chosen)
    pictures.find(folder, what="train")
    untrained(Path(out))
    resumable(Path(out), asked(chosen, size, flip), chosen.steps)  # before many pictures are read
    images, _ = pictures.read_folder(folder, size, what="train")
    return pretrain(images, Path(out), chosen, flip=flip, progress=show)


def _parse(spec: dict[str, Any]) -> tuple[Any, Any]:
    from unpromptable.planning.experiment import read_cell, read_experiment

    return read_cell(spec["cell"]), read_experiment(spec["experiment"])

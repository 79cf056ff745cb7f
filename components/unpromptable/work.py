"""What each step of the DAG does: skip what is finished, resume what is half done, compute the rest, hand it on.

Heavy imports are inside the functions, so that a step with nothing to do costs no more than its process.
A cell's step that fails in a foreseeable way (`once.guarded`) lets the other cells finish; `check` ends the run as failed after them.
"""
from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import device, once, reporting, rows, store
from .warm import warmed


@store.opened
def plan(experiment: str, world: str, overrides: str, where: str) -> list[str]:
    """One JSON text per cell, with the id of the MLflow run created for it. Writes <store>/experiment.json.

    Bad input gives no cell, and experiment.json holds what can be read without the experiment's files.
    """
    from . import plan as planning

    store.remove(store.place(where, once.SHARED, "failed.json"))
    with once.Shared(where, "plan"):
        try:
            return _planned(planning.resolve(experiment, world, json.loads(overrides)), where)
        except once.BAD_INPUT:
            store.remove(Path(where) / "experiment.json")
            _planned(planning.resolve(experiment, world, json.loads(overrides), inputs=False), where)
            raise
    return []


def _planned(resolved: Any, where: str) -> list[str]:
    from . import config, tracking
    from . import plan as planning

    specs = resolved.cell_specs()
    target = Path(where) / "experiment.json"
    store.write_text(target, json.dumps({**config.to_json(resolved.experiment), "cells": specs, "key": resolved.key}, indent=1))
    sweep = f"{store.address(target)}:{resolved.key[:16]}"  # what was asked and where it is kept: a repeated or continued run is the same sweep
    ids = tracking.open_runs(where, resolved.experiment.name, sweep, [rows.flat(s) for s in specs])
    for spec in specs:
        store.remove(store.place(where, spec, "failed.json"))
        spec["run_id"] = ids.get(rows.slug(spec))
    return [json.dumps(s) for s in sorted(specs, key=lambda s: -planning.updates(s))]  # the longest first, so that none is left alone at the end


@store.opened
def prepare(experiment: str, world: str, overrides: str, where: str, data_path: str, pretrained_path: str) -> str:
    """Real and forget images, the base model; returns the JSON text that the steps before the cells read, empty where bad input stopped the run."""
    from . import plan as planning

    with once.Shared(where, "prepare", (data_path, pretrained_path)) as this:
        if this.stopped:
            return ""
        resolved = planning.resolve(experiment, world, json.loads(overrides))
        text = resolved.shared_spec()
        spec = json.loads(text)
        once.make(where, spec, "prepare", "pretrained", pretrained_path, lambda path, bar: _fetch(path, resolved))
        once.make(where, spec, "prepare", "data.safetensors", data_path, lambda path, bar: _collect(path, Path(where) / "shared" / "pretrained", resolved, bar))
        return text
    return ""


def _fetch(path: Path, resolved: Any) -> None:
    from importlib import resources

    from . import plugins

    source = resolved.experiment.model
    shipped = Path(str(resources.files("unpromptable") / "miniature" / source.name))
    family = plugins.module("model", source.name)
    identity = family.fetch(source.source, path, source.revision, shipped)
    (path / "source.json").write_text(json.dumps({"identity": identity}))
    if hasattr(family, "ready"):
        family.ready(path, resolved.experiment)


def _collect(path: Path, pretrained: Path, resolved: Any, bar: Callable) -> None:
    from . import data, plugins, remembering

    experiment = resolved.experiment
    size = plugins.module("model", experiment.model.name).pixels(pretrained, experiment)
    arrays, manifest = data.collect(experiment.real, size, list(resolved.targets()), experiment.remember.leave_out)
    if experiment.remember.source == "model":
        drawn, told = remembering.draw(experiment, pretrained, arrays["forget"], device.best(), bar)
        arrays, manifest = {**arrays, **drawn}, {**manifest, **told}
    data.save(path, arrays, manifest)


def split(spec: str, images_per_shard: int = 0) -> list[str]:
    """One JSON text per shard of a model's images; 0 images per shard leaves their number to the experiment."""
    from . import blocks

    sampling = blocks.Sampling(**json.loads(spec)["experiment"]["sampling"])  # not the whole experiment, whose model imports torch
    return [json.dumps(piece) for piece in blocks.shards(sampling, images_per_shard)]


@store.opened
@warmed
def edit(spec: str, where: str, data_path: str, pretrained_path: str, surrogates_path: str) -> None:
    """The surrogates of a cell, built once for all cells that share them."""

    def make(path: Path, bar: Callable) -> None:
        from . import surrogates

        store.deliver(surrogates.obtain(json.loads(spec), where, data_path, pretrained_path, bar), str(path))

    store.write_text(store.place(where, json.loads(spec), "cell.json"), json.dumps(json.loads(spec), indent=1))
    once.guarded(spec, where, "edit", "surrogates.safetensors", surrogates_path, make)


@store.opened
@warmed
def unlearn(spec: str, where: str, data_path: str, surrogates_path: str, pretrained_path: str, unlearned_path: str) -> None:
    """Fine-tune the pretrained model until the targets are forgotten (Algorithm 1)."""

    def make(path: Path, bar: Callable) -> None:
        from . import plugins, tracking, training

        cell, experiment = _parse(spec)
        images = training.Images.load(cell, data_path, surrogates_path)
        model = plugins.module("model", experiment.model.name).Model.load(pretrained_path, device.best(), experiment)
        folder = path.parent / "training"
        began = time.monotonic()
        with tracking.live(json.loads(spec).get("run_id"), folder / "history.jsonl"):
            summary = training.unlearn(cell, model, images, folder, bar)
        model.save(path)
        (path / "training.json").write_text(json.dumps({**summary, "seconds": round(time.monotonic() - began, 2)}))
        (folder / "history.jsonl").replace(path.parent / "history.jsonl")
        store.publish(path.parent / "history.jsonl")

    once.guarded(spec, where, "unlearn", "unlearned", unlearned_path, make)


@store.opened
@warmed
def sample(spec: str, shard: str, where: str, data_path: str, model_path: str, images_path: str) -> None:
    """One shard of a model's images, and its share of the targets for the injection test."""
    piece = json.loads(shard)

    def make(path: Path, bar: Callable) -> None:
        from . import config, data, plugins, sampling

        whole = json.loads(spec)
        experiment = config.read_experiment(whole["experiment"])
        base = store.fetch(Path(where) / "shared" / "pretrained")
        model = plugins.module("model", experiment.model.name).Model.load(model_path, device.best(), experiment, base)
        arrays, manifest = data.load(data_path)
        began, extra = time.monotonic(), {}
        test = experiment.injection
        for target in whole["targets"][piece["shard"] :: piece["shards"]]:
            image = arrays["forget"][manifest["forget_names"].index(target)]
            extra[f"injected/{target}"] = sampling.inject(model, image, test.t, test.draws, test.seed, test.siss_compat, lambda k, n: bar(k, n, f"denoising {target}"), test.stride)
        show = lambda k, n: bar(k, n, f"{piece['count']} images")
        images, seeds = sampling.sample(model, experiment.sampling, piece["first"], piece["count"], show)
        if experiment.other_prompts:
            extra["others"], _ = sampling.sample(model, experiment.sampling, piece["first"], piece["count"], show, experiment.other_prompts)
        data.save(path, {"samples": images, **extra}, {"seeds": seeds, "seconds": round(time.monotonic() - began, 2)})

    once.guarded(spec, where, f"sample {piece['first']}", f"samples-{piece['shard']:04d}-of-{piece['shards']}.safetensors", images_path, make)


@store.opened
@warmed
def gather(spec: str, where: str, shard_paths: list[str], to: str, name: str = "before.safetensors") -> None:
    """Shards of one model to one artifact, in the order of their seeds; refuses gaps."""

    def make(path: Path, bar: Callable) -> None:
        import numpy as np

        from . import config, data

        shards = sorted((data.load(p) for p in shard_paths), key=lambda s: s[1]["seeds"][0])
        seeds = [i for _, m in shards for i in m["seeds"]]
        wanted = config.read_experiment(json.loads(spec)["experiment"]).sampling
        missing = sorted(set(range(wanted.first_seed, wanted.first_seed + wanted.images)) - set(seeds))
        if missing or len(seeds) != wanted.images:
            raise ValueError(f"{path.stem}: seed {missing[0] if missing else seeds[0]} is {'missing' if missing else 'drawn twice'}; remove the shards in {path.parent} and run again")
        drawn = [k for k in ("samples", "others") if k in shards[0][0]]
        extra = {k: v for arrays, _ in shards for k, v in arrays.items() if k not in drawn}
        data.save(path, {**{k: np.concatenate([a[k] for a, _ in shards]) for k in drawn}, **extra}, {"seeds": seeds, "seconds": sum(m["seconds"] for _, m in shards)})

    once.guarded(spec, where, "gather", name, to, make)


@store.opened
@warmed
def score(spec: str, where: str, data_path: str, before_path: str, shard_paths: list[str], surrogates_path: str, unlearned_path: str, summary_to: str = "", page_to: str = "") -> str:
    """The cell's row as JSON text, and its page for the Kubeflow UI; a failed cell's row says what failed."""
    whole = json.loads(spec)
    path = store.place(where, whole, "row.json")
    after = str(store.place(where, whole, "after.safetensors"))
    gather(spec, where, shard_paths, "", "after.safetensors")

    def make(row: Path, bar: Callable) -> None:
        from . import scoring

        cell, experiment = _parse(spec)
        models = scoring.Models(experiment, Path(where) / "shared" / "pretrained", Path(unlearned_path), device.best())
        values = scoring.score(cell, experiment, data_path, before_path, after, surrogates_path, path.parent.parent.parent / "shared", models)
        summary = json.loads((Path(unlearned_path) / "training.json").read_text())
        made = {**rows.head(whole), "status": "done", "error": None, **values, "seconds": {"unlearn": summary["seconds"], **values["seconds"]}}
        row.write_text(json.dumps(made, indent=1))
        reporting.page(where, made)

    once.guarded(json.dumps({**whole, "key": whole["row_key"]}), where, "score", "row.json", "", make)
    found = json.loads(path.read_text()) if store.finished(path, whole["row_key"]) else rows.failed(whole, where)
    for name, to in (("page.md", summary_to), ("page.html", page_to)):
        page = store.fetch(path.with_name(name))
        if to and page.is_file():
            store.deliver(page, to)
        elif to:
            store.write_text(Path(to), f"{found['name']}: {found['error']}")
    return json.dumps(found)


def train(folder: str, out: str, size: int, flip: bool, show: Callable, **settings: Any) -> dict[str, Any]:
    """Train a DDPM on a folder of images, so that an experiment can name both folders."""
    from . import data
    from .plugins import build
    from .pretraining import Pretraining, pretrain

    chosen = build(Pretraining, settings, "pretraining")
    images, _ = data.read_folder(folder, size)
    return pretrain(images, Path(out), chosen, flip=flip, progress=show)


def _parse(spec: str) -> tuple[Any, Any]:
    from . import config

    whole = json.loads(spec)
    return config.read_cell(whole["cell"]), config.read_experiment(whole["experiment"])

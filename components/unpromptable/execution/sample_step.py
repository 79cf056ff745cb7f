"""sample: a model's images from their seeds, in shards, each with its share of the targets to denoise."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from unpromptable.models import device
from unpromptable.planning import spec as planned
from unpromptable.planning.experiment import Experiment
from unpromptable.planning.spec import Run, Shard, Spec
from unpromptable.storage import files, once, place, progress
from unpromptable.storage.place import Output

from . import pieces
from .crew import Crew, Member
from .opened import opened
from .warm_client import warmed


@opened
@warmed
def sample(cell: str, store: str, pod: int, pods: int) -> None:
    """Shards pod, pod + pods, ... of a model's images; of the base model also their sum.

    Raises RuntimeError where the base model's images cannot be drawn, since no cell can be judged then.
    """
    run, spec = planned.one(store, cell)
    with Crew(_drawer, (cell, store)) as crew:
        for shard in run.shards[pod::pods]:
            if not _output(spec, store, shard).finished() and _gathered(spec, store).finished():
                progress.event(store, spec.name, _output(spec, store, shard).step, "skipped", "")
                continue  # drawn into other shards before
            with files.locked(spec.place(store).path(f"sample-{shard.shard}.lock")):
                draw = lambda path, bar, shard=shard: _draw(path, run, spec, shard, store, bar, crew)
                once.guarded(_output(spec, store, shard), draw)
    if spec.cell is None:
        once.stop(store)
        if all(_output(spec, store, shard).finished() for shard in run.shards):
            gather(run, spec, store)


def gathered(spec: Spec) -> str:
    """The file of all of a model's images."""
    return "after.safetensors" if spec.cell else "before.safetensors"


def _gathered(spec: Spec, store: str) -> Output:
    return spec.output(store, "gather", gathered(spec), "samples")


def _output(spec: Spec, store: str, shard: Shard) -> Output:
    return spec.output(store, f"sample {shard.first}", shard.file, "samples")


def _draw(path: Path, run: Run, spec: Spec, shard: Shard, store: str, bar: Callable, crew: Crew) -> None:
    from unpromptable import data

    shared, e = place.shared(store), run.experiment
    # here, since several processes would fetch them at once
    _weights(spec, store), shared.fetched("pretrained")
    arrays, manifest = data.load(shared.fetched("data.safetensors"), "forget")
    forget = dict(zip(manifest["forget_names"], arrays["forget"]))
    # sorted, since the identity knows no order: each target falls to the same shard whatever cell names it
    asked = pieces.of_shard(e, shard, tuple(sorted(spec.targets))[shard.shard :: shard.shards])
    crew.start()
    began = time.monotonic()
    show = pieces.shown(asked, f"{shard.count} images", bar)
    drawn = crew.answers([(piece, forget.get(piece.target)) for piece in asked], show)
    joined = {
        name: [images for piece, images in zip(asked, drawn) if piece.array == name]
        for name in dict.fromkeys(["samples", *(piece.array for piece in asked)])
    }
    first = e.sampling.first_seed + shard.first
    seeds = list(range(first, first + shard.count))
    data.save(path, joined, {"seeds": seeds, "seconds": round(time.monotonic() - began, 2)})


def _weights(spec: Spec, store: str) -> Path:
    return spec.place(store).fetched("unlearned" if spec.cell else "pretrained")


def _drawer(member: Member, cell: str, store: str) -> Callable:
    """What draws pieces of a model's images in this process, whichever of a crew it is."""
    run, spec = planned.one(store, cell)
    base, e = place.shared(store).path("pretrained"), run.experiment
    model = e.family.model.load(_weights(spec, store), device.best(), e, base)
    return lambda piece, image, tell: pieces.draw(model, e, piece, image, tell)


def gather(run: Run, spec: Spec, store: str) -> Path:
    """Shards of one model to one artifact, in the order of their seeds; refuses gaps. Returns its path."""
    output = _gathered(spec, store)
    with files.locked(output.path.with_name(f"{output.name}.lock")):
        if not output.finished():
            shards = [_output(spec, store, shard).path for shard in run.shards]
            once.guarded(output, lambda path, bar: _join(path, shards, run.experiment))
    return output.path


def _join(path: Path, shards: list[Path], experiment: Experiment) -> None:
    from unpromptable import data

    parts = sorted((data.load(files.fetch(p)) for p in shards), key=lambda s: s[1]["seeds"][0])
    seeds = [i for _, m in parts for i in m["seeds"]]
    wanted = experiment.sampling
    missing = sorted(set(range(wanted.first_seed, wanted.first_seed + wanted.images)) - set(seeds))
    if missing or len(seeds) != wanted.images:
        raise ValueError(
            f"{path.stem}: seed {missing[0] if missing else seeds[0]} is"
            f" {'missing' if missing else 'drawn twice'}; remove the shards in {path.parent} and run again"
        )
    drawn = [k for k in ("samples", "others") if k in parts[0][0]]
    joined = {k: [a[k] for a, _ in parts] for k in drawn}
    extra = {k: v for arrays, _ in parts for k, v in arrays.items() if k not in drawn}
    seconds = sum(m["seconds"] for _, m in parts)
    data.save(path, {**joined, **extra}, {"seeds": seeds, "seconds": seconds})

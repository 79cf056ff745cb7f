"""sample: a model's images from their seeds, in shards, each with its share of the targets to denoise."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unpromptable.models import device
from unpromptable.planning import spec as planned
from unpromptable.planning.experiment import Experiment
from unpromptable.planning.spec import Run, Shard, Spec
from unpromptable.reporting import stopped
from unpromptable.storage import files, once, place, progress
from unpromptable.storage.place import Output

from . import injecting, looking, pieces
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
        found = injecting.decide(run, spec, store, crew)
        if found and found.draw:
            _images(run, spec, store, (pod, pods), crew)
    for mate in found.also if found else ():
        with Crew(_drawer, (mate, store)) as crew:
            _images(run, planned.one(store, mate)[1], store, (pod, pods), crew)
    if spec.cell is None:
        once.stop(store)
        made = [(_output(spec, store, shard), shard) for shard in run.shards]
        if all(output.finished() and _holds(output, run, shard) for output, shard in made):
            gather(run, spec, store)


def _images(run: Run, spec: Spec, store: str, share: tuple[int, int], crew: Crew) -> None:
    """Draw a pod's share of a model's images; those of a cell that may stop are drawn in turn, by one pod."""
    pod, pods = share
    draw = lambda shard: _shard(run, spec, store, shard, crew)
    if not stopped.may(run.experiment, spec):
        for shard in run.shards[pod::pods]:
            draw(shard)
    elif pod == 0:
        looking.in_turn(run, spec, store, draw)


def _shard(run: Run, spec: Spec, store: str, shard: Shard, crew: Crew) -> Output:
    """Draw one shard where it is not there yet."""
    output = _output(spec, store, shard)
    if not output.finished() and images_of(run, spec, store).finished():
        progress.event(store, spec.name, output.step, "skipped", "")
        return output  # drawn into other shards before
    with files.locked(spec.place(store).path(f"sample-{shard.shard}.lock")):
        if output.finished() and not _holds(output, run, shard):
            files.clear(output.path)
        once.guarded(output, lambda path, bar: _draw(path, run, spec, shard, store, bar, crew))
    return output


def _holds(output: Output, run: Run, shard: Shard) -> bool:
    """Whether a finished shard has the images that it has now; others where as many were shared out in
    another way.
    """
    from unpromptable import data

    return data.peek(output.path)[1].get("seeds") == _seeds(run, shard)


def _seeds(run: Run, shard: Shard) -> list[int]:
    first = run.experiment.sampling.first_seed + shard.first
    return list(range(first, first + shard.count))


def gathered(spec: Spec) -> str:
    """The file of all of a model's images."""
    return "after.safetensors" if spec.cell else "before.safetensors"


def images_of(run: Run, spec: Spec, store: str) -> Output:
    """All of a model's images, or those until it stopped."""
    return stopped.seen(run.experiment, spec, store).output(store, "gather", gathered(spec), "samples")


def _output(spec: Spec, store: str, shard: Shard) -> Output:
    return spec.output(store, f"sample {shard.first}", shard.file, "samples")


def _draw(path: Path, run: Run, spec: Spec, shard: Shard, store: str, bar: Callable, crew: Crew) -> None:
    from unpromptable import data

    shared, e = place.shared(store), run.experiment
    # here, since several processes would fetch them at once
    _weights(spec, store), shared.fetched("pretrained")
    arrays, manifest = data.load(shared.fetched("data.safetensors"), "forget")
    forget = data.forget(arrays, manifest)
    # sorted, since the identity knows no order: each target falls to the same shard whatever cell names it
    own = tuple(sorted(spec.targets))[shard.shard :: shard.shards]
    kept = injecting.drawn(spec, store, own)
    asked = pieces.of_shard(e, shard, () if kept else own)
    crew.start()
    began = time.monotonic()
    joined = pieces.together(crew, asked, forget, f"{shard.count} images", bar)
    told = {"seeds": _seeds(run, shard), "seconds": round(time.monotonic() - began, 2)}
    data.save(path, {**joined, **kept}, told)


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
    found = stopped.read(run.experiment, spec, store)
    count = found.images if found else run.experiment.sampling.images
    output = images_of(run, spec, store)
    with files.locked(output.path.with_name(f"{output.name}.lock")):
        if not output.finished():
            shards = [_output(spec, store, shard).path for shard in run.shards if shard.first < count]
            draws = lambda: injecting.drawn(spec, store, spec.targets) if found else {}
            once.guarded(output, lambda path, bar: _join(path, shards, run.experiment, count, draws()))
    return output.path


def _join(path: Path, shards: list[Path], experiment: Experiment, count: int, draws: dict[str, Any]) -> None:
    from unpromptable import data

    parts = sorted((data.load(files.fetch(p)) for p in shards), key=lambda s: s[1]["seeds"][0])
    seeds = [i for _, m in parts for i in m["seeds"]]
    first = experiment.sampling.first_seed
    missing = sorted(set(range(first, first + count)) - set(seeds))
    if missing or len(seeds) != count:
        raise ValueError(
            f"{path.stem}: seed {missing[0] if missing else seeds[0]} is"
            f" {'missing' if missing else 'drawn twice'}; remove the shards in {path.parent} and run again"
        )
    drawn = [k for k in ("samples", "others") if k in parts[0][0]]
    joined = {k: [a[k] for a, _ in parts] for k in drawn}
    extra = {k: v for arrays, _ in parts for k, v in arrays.items() if k not in drawn}
    extra |= draws  # of a cell that stopped: some would be in shards that it never drew
    seconds = sum(m["seconds"] for _, m in parts)
    data.save(path, {**joined, **extra}, {"seeds": seeds, "seconds": seconds})

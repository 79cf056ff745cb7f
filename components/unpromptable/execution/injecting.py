"""The injection test: with a cell's images, or before them, to decide whether these are drawn at all.

Where `sampling.when` is `forgets`, the first pod of a cell denoises its targets into a file of their own and
judges them by the experiment's descriptor; the others wait for what it decides. Cells that make one line of a
table, differing in targets and training seeds alone, are judged by their mean as that line is: the last of
them that is judged knows it, and draws and scores those that were left out before where the line forgets
after all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable.planning import spec as planned
from unpromptable.planning.spec import Run, Spec
from unpromptable.reporting import unsampled
from unpromptable.reporting.unsampled import Decision
from unpromptable.scoring.verdict import THRESHOLD
from unpromptable.storage import once, place
from unpromptable.storage.place import Output

from . import pieces
from .crew import Crew


def decide(run: Run, spec: Spec, store: str, crew: Crew) -> Decision | None:
    """Whether a model's images are drawn, the same for all pods; None where a failure bars that.

    crew: draws pieces of the model's images, see `pieces`.
    """
    if decided(run, spec, store) is None:
        once.guarded(_made(spec, store), lambda path, bar: _inject(path, run, spec, store, bar, crew))
        once.guarded(unsampled.output(spec, store), lambda path, bar: _judge(path, run, spec, store))
    return decided(run, spec, store)


def decided(run: Run, spec: Spec, store: str) -> Decision | None:
    """The same where it was decided; else None."""
    if spec.cell is None or run.experiment.sampling.when == "always":
        return unsampled.ALWAYS
    return unsampled.decision(spec, store)


def drawn(spec: Spec, store: str, targets: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Draws of these targets that were judged before any image was, (draws, H, W, 3) by `injected/TARGET`;
    none where the test was not made first.
    """
    from unpromptable import data

    made, names = _made(spec, store), [f"injected/{t}" for t in targets]
    return data.load(made.path, *names)[0] if names and made.finished() else {}


def _made(spec: Spec, store: str) -> Output:
    return spec.output(store, "inject", "injected.safetensors", "samples")


def _inject(path: Path, run: Run, spec: Spec, store: str, bar: Callable, crew: Crew) -> None:
    from unpromptable import data

    shared, whole = place.shared(store), spec.output(store, "gather", "after.safetensors", "samples")
    if whole.finished():  # drawn with all images, before `sampling.when` was set
        data.save(path, data.load(whole.path, *(f"injected/{t}" for t in spec.targets))[0], {})
        return
    # here, since several processes would fetch them at once
    spec.place(store).fetched("unlearned"), shared.fetched("pretrained")
    arrays, manifest = data.load(shared.fetched("data.safetensors"), "forget")
    forget = data.forget(arrays, manifest)
    asked = pieces.of_targets(run.experiment, spec.targets)
    data.save(path, pieces.together(crew, asked, forget, "", bar), {})


def _judge(path: Path, run: Run, spec: Spec, store: str) -> None:
    """Measure SSCD where `score` will look for it, then look at what the cell's mates have."""
    from unpromptable.scoring import measured

    (sscd,) = [m for m in run.experiment.metrics if m.name == "sscd"]
    kept = spec.place(store).path(f"{measured.FOLDER}/sscd.json")
    keys = {"sscd": spec.keys["metric sscd"]}
    values = measured.of_metric(sscd, run.experiment, lambda: _evidence(run, spec, store), kept, keys)
    mates = [planned.one(store, mate)[1] for mate in spec.mates]
    path.write_text(json.dumps(asdict(_decision(spec.targets, values["sscd"]["mean"], mates, store))))


def _decision(targets: tuple[str, ...], own: float, mates: list[Spec], store: str) -> Decision:
    """Draw what forgets; where all of the line are judged and it forgets, also what was left out of it."""
    judged = {m.folder: unsampled.judged(m, store) for m in mates}
    means = {folder: found["sscd"].mean for folder, found in judged.items() if found}
    missing = [m for m in mates if m.folder not in means and not once.noted(m.place(store))]
    of_mates = [(str(m.targets), means[m.folder]) for m in mates if m.folder in means]
    if missing or unsampled.of_line([(str(targets), own), *of_mates]) >= THRESHOLD:
        return Decision(own < THRESHOLD)
    return Decision(True, tuple(folder for folder, mean in means.items() if mean >= THRESHOLD))


def _evidence(run: Run, spec: Spec, store: str) -> Any:
    """What SSCD needs, without any other image."""
    from unpromptable import data
    from unpromptable.scoring import evidence

    shared, mine = place.shared(store), spec.place(store)
    arrays, manifest = data.load(shared.fetched("data.safetensors"), "forget")
    painted, _ = data.load(mine.fetched("surrogates.safetensors"))
    names = [f"injected/{t}" for t in spec.targets]
    files = shared.fetched("before.safetensors"), _made(spec, store).path
    none = arrays["forget"][:0]
    sides = [dict(zip(spec.targets, data.load(f, *names)[0].values())) for f in files]
    known = data.forget(arrays, manifest)
    forget = {t: known[t] for t in spec.targets}
    surrogates = dict(zip(spec.targets, painted["images"]))
    return evidence.Evidence(none, none, none, *sides, forget, surrogates)

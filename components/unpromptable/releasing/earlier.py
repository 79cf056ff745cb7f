"""The targets of earlier requests of a series: forgotten still, and not among the pictures to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable import data
from unpromptable.planning import spec as planned
from unpromptable.planning.spec import Run
from unpromptable.scoring.estimates import Estimate, end, estimate, of_one
from unpromptable.storage import fingerprints, place

from . import attempts, gates
from .request import Request
from .series import Entry

NOTE = "purged.json"  # in a run's folder from which pictures were removed on purpose
PURGED, GONE = "purged", "purged, and its run's folder is gone"

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]  # by target: its picture, and what the base model made of it


@dataclass(frozen=True)
class Checked:
    """What the injection test makes of an earlier request's targets on another model."""

    entry: Entry
    values: tuple[float | None, ...]  # SSCD of each target; None where its pictures are gone
    estimate: Estimate | None  # of the target that is worst, as in the request's own gate
    why: str  # why some cannot be re-verified, or empty

    def finding(self, number: int) -> list[gates.Finding]:
        """The gate of the request's own certificate, on this model; none where nothing can be tested."""
        e, bound = self.estimate, self.entry.bound
        if e is None or bound is None:
            return []
        value, name = end(e), f"earlier request {number}"
        return [gates.Finding(name, bound, value, e.mean, e.low, e.high, e.n, value < bound)]

    def told(self) -> dict[str, Any]:
        """As plain values, for the certificate."""
        state = f"cannot be re-verified: {self.why}" if self.why else "re-verified"
        own = {"request": self.entry.name, "sha256": self.entry.sha256}
        return {**own, "bound": self.entry.bound, "sscd": list(self.values), "state": state}


def check(line: Sequence[Entry], run: Path, row: str) -> list[Checked]:
    """Test the targets of every earlier request on the model of an attempt, `row` below `run`.

    Draws, noise and network are those of the request's own test, and what is compared with is what its own
    base model made of the target. Raises FileNotFoundError where pictures are missing that no purge took, and
    ValueError where they are another request's.
    """
    if not line:
        return []
    model = _model(planned.read(run), run, run / row / "unlearned")
    return [_checked(entry, model) for entry in line]


def _model(run: Run, store: Path, folder: Path) -> Any:
    from unpromptable.models import device

    experiment = run.experiment
    base = place.shared(str(store)).path("pretrained")
    return experiment.family.model.load(folder, device.best(), experiment, base)


def _checked(entry: Entry, model: Any) -> Checked:
    kept = _there(entry)
    if not planned.planned(entry.run):
        return Checked(entry, (), None, GONE)
    run = planned.read(entry.run)
    targets = run.experiment.forget
    missing = [t for t in targets if t not in kept]
    found = {t: _similarities(run, model, *kept[t]) for t in targets if t in kept}
    values = tuple(estimate(found[t]).mean if t in found else None for t in targets)
    worst = of_one(list(found.values())) if found else None
    count = f"{len(missing)} of {len(targets)} targets " if found else ""
    return Checked(entry, values, worst, f"{count}{PURGED}" if missing else "")


def _there(entry: Entry) -> Pairs:
    """Of an earlier request's targets those that no purge took, as `_kept` has them.

    Raises FileNotFoundError where others are missing too, as on a disk that is not mounted: what a request
    forgot is not left untested in silence. Raises ValueError where they are not what the request forgot.
    """
    purged = (entry.run / NOTE).is_file()
    if not planned.planned(entry.run):
        if purged:
            return {}
        raise FileNotFoundError(
            f"{entry.run}: the run of request {entry.name} is not there, so its targets cannot be tested"
            f" again; mount or restore it; if it was purged and then removed, put its {NOTE} back there"
        )
    targets, kept = planned.read(entry.run).experiment.forget, _kept(entry.run)
    if len(kept) < len(targets) and not purged:
        raise FileNotFoundError(
            f"{entry.run}: pictures of request {entry.name} are missing, and no purge of them is noted;"
            " restore the folder, or purge it"
        )
    same = len(targets) == len(entry.tested) and {_identity(k) for k in kept.values()} <= set(entry.tested)
    if entry.tested and not same:
        raise ValueError(
            f"{entry.run}: not what request {entry.name} was tested with (another request was answered there"
            " since, or pictures were altered); restore the folder, and give another request another --out"
        )
    return kept


def tested(run: Path) -> tuple[str, ...]:
    """What each target of a run is tested again with, as digests; none of a run without."""
    return tuple(map(_identity, _kept(run).values()))


def _identity(pair: tuple[np.ndarray, np.ndarray]) -> str:
    """Of a target's picture, and of what the base model made of it."""
    return fingerprints.digest([data.sha256(one) for one in pair])


def _kept(store: Path) -> Pairs:
    """Of a run's targets, those that are there: the picture, and what the base model made of it."""
    shared = place.shared(str(store))
    pictures, before = shared.path("data.safetensors"), shared.path("before.safetensors")
    if not pictures.is_file() or not before.is_file():
        return {}
    forget = data.forget(*data.load(pictures, "forget"))
    names = {t: f"injected/{t}" for t in forget if f"injected/{t}" in data.peek(before)[1]["shapes"]}
    drawn = data.load(before, *names.values())[0] if names else {}
    return {t: (forget[t], drawn[name]) for t, name in names.items()}


def _similarities(run: Run, model: Any, image: np.ndarray, before: np.ndarray) -> np.ndarray:
    """SSCD of each draw of a target, (draws,): what the base model made of it against what this one does."""
    from unpromptable.sampling import chains
    from unpromptable.scoring import metric_networks

    networks = metric_networks.of(run.experiment.networks)
    after = chains.injected(model, image, run.experiment.injection)
    return (networks.descriptor(before) * networks.descriptor(after)).sum(1).numpy()


def hold(line: Sequence[Entry], path: Path) -> bool:
    """Write the targets of earlier requests, each with the surrogate that its release was trained to, as
    `training.held` reads them; whether there is any whose pictures are there still.
    """
    from unpromptable.unlearning import held

    pairs: list[held.Held] = []
    for entry in line:
        known, surrogates = _there(entry), entry.run / entry.row / "surrogates.safetensors"
        if known and surrogates.is_file():
            painted = dict(zip(planned.read(entry.run).experiment.forget, data.load(surrogates)[0]["images"]))
            pairs += [held.Held(image, painted[t]) for t, (image, _) in known.items()]
    if pairs:
        path.parent.mkdir(parents=True, exist_ok=True)
        held.write(path, held.Held(*map(np.stack, zip(*pairs))))
    return bool(pairs)


def kept_out(asked: Request, line: Sequence[Entry], scratch: Path) -> tuple[str, ...]:
    """What `remember.leave_out` is to say so that no picture to keep brings an earlier target back: what it
    says anyway, also of the earlier targets, and near copies of these. Empty where there is nothing more.

    scratch: a file that may be written.
    """
    from unpromptable.preparing import collect, remember_set

    known = {t: image for entry in line for t, (image, _) in _there(entry).items()}
    if not known:
        return ()
    e = attempts.check(asked).experiment
    forget = np.stack(list(known.values()))
    try:
        real, names, _ = collect.read_real(e.real, forget.shape[1], e.pictures, scratch)
        arrays, manifest = {"real": real, "forget": forget}, {"names": names, "removed": []}
        found = set(remember_set.copies(e, arrays, manifest)[1]["copies"])
    finally:
        scratch.unlink(missing_ok=True)
    grouped = tuple(p for p in e.remember.leave_out if "{group}" in p)
    found |= collect.left_out(names, list(known), grouped, e.real)
    return (*e.remember.leave_out, *map(escape, sorted(found))) if found else ()

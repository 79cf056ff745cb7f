"""From Python: a pipeline of diffusers forgets pictures in one call, by the steps that a cluster runs."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unpromptable.pictures.given import written

if TYPE_CHECKING:
    from unpromptable.reporting.row import Row

FAMILIES = {  # the class of a pipeline -> the family that loads what it saves
    "DDPMPipeline": "ddpm",
    "DDIMPipeline": "ddpm",
    "StableDiffusion3Pipeline": "sd3",
}
# similarity at which a target's updates end: below what counts as forgotten (IV) by what comes back while the
# rate falls, so that the finer test of the row finds it forgotten too
UNTIL = 0.3


@dataclass(frozen=True)
class Forgotten:
    """What `forget` gives back."""

    pipe: Any  # a pipeline of the class that was given, with the new weights
    row: Row  # the numbers: `row.value("sscd").mean`, and `row.means()` for all
    store: Path  # the run's folder, which a second call with it goes on from
    # SSCD below which a target is forgotten: the paper's 0.4, or where that is more, how like a target
    # unrelated pictures to keep get, as among photographs of faces
    bound: float

    @property
    def gone(self) -> bool:
        """Whether the mean SSCD of every target is below the bound."""
        return self.row.value("sscd_highest").mean < self.bound

    def report(self) -> Path:
        """The page with pictures, curves and tables."""
        return self.store / "report.html"


def forget(
    pipe: Any,
    images: Sequence[Any],
    keep: Any,
    *,
    surrogates: Sequence[Any] | None = None,
    method: str | Mapping[str, Any] = "surrogate",
    editor: str | Mapping[str, Any] = "lookalike",
    prompt: str = "",
    world: str = "paper",
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Forgotten:
    """Make a copy of `pipe` that does not produce `images`, and judge it against the model as it was.

    pipe: of a class in FAMILIES; it stays as it is. images: paths, PIL pictures, uint8 arrays (H, W, 3), or
    tensors (3, H, W) in [0, 1]. keep: what to keep, a folder or a data set of such pictures, also as
    (picture, label) or {"image": picture}. surrogates: what each target is mapped to, painted by hand;
    without them the editor makes them. world: whose hyperparameters hold, paper or miniature. out: the run's
    folder with all pictures, a temporary one by default. settings: dotted keys, such as {"sampling.images":
    256}, or {"training.lookalikes": 0.25}, so that who looks like a target is not forgotten too. Raises
    ValueError or FileNotFoundError for bad input, and RuntimeError where the run has no result.
    """
    with _folder(out) as store:
        given = store / "given"
        kept, targets = _kept(keep, given), _targets(images, given)
        count = len(targets)
        made = _choice(editor) if surrogates is None else _painted(surrogates, count, given / "surrogates")
        base = {"method": _choice(method), "editor": made, "training": {"until": UNTIL}}
        asked = {**_asked(pipe, targets, kept, prompt, given), "base": base, "cells": [{"name": "Forgotten"}]}
        row = _run(asked, world, dict(settings or {}), store, "forget")
        return Forgotten(_fixed(pipe, store / row.folder / "unlearned"), row, store, _bound(store))


def evaluate(
    before: Any,
    after: Any,
    images: Sequence[Any],
    keep: Any,
    *,
    prompt: str = "",
    world: str = "paper",
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Forgotten:
    """Judge a model that any other method unlearned, by the same test, seeds and metrics as `forget`.

    before: the pipeline as it was, of a class in FAMILIES. after: the unlearned one of the same class, or the
    folder where it is saved; of Stable Diffusion 3 the folder of its adapter, as `save_lora_weights` writes
    it. The rest, and what is raised, as for `forget`.
    """
    with _folder(out) as store:
        given = store / "given"
        kept, targets = _kept(keep, given), _targets(images, given)
        folder = Path(after) if isinstance(after, (str, Path)) else _whole(after, given / "after")
        cell = {"name": "Evaluated", "method": "naive", "editor": "flip", "unlearned": str(folder.resolve())}
        asked = {**_asked(before, targets, kept, prompt, given), "cells": [cell]}
        row = _run(asked, world, dict(settings or {}), store, "evaluate")
        return Forgotten(after if folder != after else _fixed(before, folder), row, store, _bound(store))


def _asked(pipe: Any, targets: Sequence[Path], real: Path | str, prompt: str, given: Path) -> dict[str, Any]:
    """What every experiment of these calls says."""
    return {
        "name": "forget",
        "model": {"name": _family(pipe), "source": str(_saved(pipe, given / "model"))},
        "real": str(real),
        "forget": [str(t) for t in targets],
        **({"prompt": prompt} if prompt else {}),
    }


def _kept(keep: Any, given: Path) -> Path | str:
    """The folder of what to keep, written where it is none. Raises FileNotFoundError for one that is not."""
    if isinstance(keep, (str, Path)) and keep != "miniature" and not Path(keep).is_dir():
        raise FileNotFoundError(f"keep: {keep} is no folder; name one with pictures, or give them")
    return keep if isinstance(keep, (str, Path)) else written(keep, given / "keep")[0].parent


def _whole(pipe: Any, folder: Path) -> Path:
    """The folder of an unlearned pipeline. Raises ValueError for one of which only an adapter was trained."""
    if _family(pipe) != "ddpm":
        raise ValueError(
            "after: of Stable Diffusion 3 give the folder of its adapter, as `save_lora_weights` writes it"
        )
    return _saved(pipe, folder)


def _targets(images: Any, given: Path) -> list[Path]:
    """The files of the targets. Raises ValueError for one that stands alone."""
    if isinstance(images, (str, Path)):
        raise ValueError(f"images: {images} is one path; give a list, such as [{str(images)!r}]")
    return written(images, given / "forget")


@contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    """The run's folder, which is its owner's alone. A temporary one goes where bad input ends the call: it
    holds the targets.
    """
    store = Path(out) if out else Path(tempfile.mkdtemp(prefix="unpromptable-"))
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        yield store
    except (ValueError, OSError):
        if not out:
            shutil.rmtree(store, ignore_errors=True)
        raise


def _choice(given: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"name": given} if isinstance(given, str) else dict(given)


def _painted(surrogates: Sequence[Any], wanted: int, folder: Path) -> dict[str, Any]:
    """The editor of surrogates made by hand. Raises ValueError where they are not one for each target."""
    if len(surrogates) != wanted:
        raise ValueError(f"surrogates: {len(surrogates)} for {wanted} images; give one for each")
    written(surrogates, folder)
    return {"name": "paint", "folder": str(folder)}


def _family(pipe: Any) -> str:
    """The family of a pipeline. Raises ValueError for one of another class."""
    name = type(pipe).__name__
    if name not in FAMILIES:
        raise ValueError(f"pipe is a {name}; give a pipeline of diffusers: {', '.join(FAMILIES)}")
    if getattr(getattr(pipe, "transformer", None), "peft_config", None):
        raise ValueError("pipe has an adapter on its transformer; unload it, or fuse it in, before this call")
    return FAMILIES[name]


def _saved(pipe: Any, folder: Path) -> Path:
    """The pipeline's folder, written anew where it holds another model."""
    from unpromptable.storage import fingerprints

    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    pipe.save_pretrained(new, safe_serialization=True)
    same = folder.is_dir() and fingerprints.content(folder) == fingerprints.content(new)
    if same:  # so a second call goes on from the first
        shutil.rmtree(new)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    return folder


def _run(experiment: dict[str, Any], world: str, settings: dict[str, Any], store: Path, caller: str) -> Row:
    """Every step in its order. Raises RuntimeError, with the reason, where the cell has no result.

    caller: the function that the reason is said of.
    """
    import yaml

    from unpromptable.execution import (
        plan_step,
        prepare_step,
        report_step,
        sample_step,
        whole,
    )
    from unpromptable.planning import plan
    from unpromptable.reporting import rows

    text, folder = yaml.safe_dump(experiment, allow_unicode=True), str(store)
    plan.resolve(text, world, settings)  # bad input is the caller's to see, before anything runs
    cells = plan_step.plan(text, world, settings, folder)
    shared = prepare_step.prepare(text, folder) if cells else ""
    if shared:
        sample_step.sample(shared, folder, 0, 1)
        whole.cell(cells[0], folder)
    report_step.report(folder, text, "SUCCEEDED" if shared else "FAILED")
    (row,) = rows.collect(folder)
    if not row.done:
        raise RuntimeError(f"{caller}: {row.error}; the run's folder is {store}")
    return row


def _bound(store: Path) -> float:
    """Of SSCD, as a request's gate has it."""
    from unpromptable.planning import spec
    from unpromptable.releasing import base, gates
    from unpromptable.storage import place

    pictures = place.shared(str(store)).path("data.safetensors")
    return gates.of({}, base.unrelated(spec.read(store).experiment, pictures))["sscd"]


def _fixed(pipe: Any, unlearned: Path) -> Any:
    """A pipeline of the same class with what was trained: other weights, or the adapter beside them."""
    if FAMILIES[type(pipe).__name__] == "ddpm":
        return type(pipe).from_pretrained(unlearned)
    fixed = type(pipe)(**{**pipe.components, "transformer": copy.deepcopy(pipe.transformer)})
    fixed.load_lora_weights(unlearned)
    return fixed

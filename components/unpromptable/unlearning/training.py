"""Algorithm 1's loops: sequential targets, updates, optimiser, states to resume from, one line of history per
update.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unpromptable import data, equations
from unpromptable.models import tensors
from unpromptable.planning.experiment import Cell
from unpromptable.planning.settings import Training
from unpromptable.storage import files

from . import fit_memory, gradients

log = logging.getLogger(__name__)


SPLIT = ("remember", "forget", "surrogate", "t", "eps", "t_other", "prompts")  # what has one entry per image


@dataclass(frozen=True)
class Batch:
    """What a method sees in one update. Images are (B, C, H, W) in model space; t is (B,)."""

    remember: Tensor
    forget: Tensor
    surrogate: Tensor
    t: Tensor  # timesteps as the family's `times` gives them
    eps: Tensor  # the same for both branches (Algorithm 1, lines 6-8)
    generator: torch.Generator  # for a method's own draws
    reduction: str = "mean"
    micro: int = 0
    reduce: Callable[[gradients.Gradient], gradients.Gradient] = list
    t_other: Tensor | None = None  # a second draw of t, for methods whose branches do not share it
    reference: Any = None  # the untouched model, for methods that say `reads_reference`
    # the prompt of each remember image, where some are of other prompts than the experiment's
    prompts: tuple[str, ...] = ()

    def parts(self) -> Iterator[tuple[float, Batch]]:
        """Micro-batches with their share of the batch."""
        size, total = self.micro or len(self.t), len(self.t)
        for i in range(0, total, size):
            cut = {k: getattr(self, k)[i : i + size] for k in SPLIT if getattr(self, k) is not None}
            yield len(cut["t"]) / total, replace(self, **cut)

    def error(self, model, image: Tensor, towards: Tensor) -> Tensor:
        """Squared error (B,) at `image` noised by this batch's t and eps, of the output that leads to
        `towards` (Eqs. 8-11).
        """
        x_t = equations.noisy(image, self.eps, *model.schedule(self.t))
        wanted = (
            model.target(image, self.eps, self.t)
            if towards is image
            else model.target_of(x_t, towards, self.t)
        )
        return equations.squared_error(model.predict(x_t, self.t), wanted, self.reduction)

    def kept(self, model, base=None) -> Tensor:
        """Squared error (B,) at the noised remember images, to what they show (Eq. 8) or to what `base` makes
        of them (distillation).
        """
        x_t = equations.noisy(self.remember, self.eps, *model.schedule(self.t))
        if base is None:
            wanted = model.target(self.remember, self.eps, self.t)
        else:
            with torch.no_grad():
                wanted = self.asking(base).predict(x_t, self.t)
        return equations.squared_error(self.asking(model).predict(x_t, self.t), wanted, self.reduction)

    def asking(self, model, forget: Tensor | None = None):
        """`model` under each remember image's prompt; under the experiment's where `forget` (B,) is true."""
        if not self.prompts:
            return model
        shows_forget = [False] * len(self.prompts) if forget is None else forget.tolist()
        return model.with_prompts(
            [model.prompt if shown else prompt for prompt, shown in zip(self.prompts, shows_forget)]
        )


@dataclass(frozen=True)
class Images:
    """The uint8 arrays a cell trains on: remember (R, H, W, 3), forget and surrogates (F, H, W, 3), and the
    names.

    others (O, H, W, 3): remember images of other prompts, and which prompt each is of.
    """

    remember: np.ndarray
    forget: np.ndarray
    surrogates: np.ndarray
    targets: tuple[str, ...]
    others: np.ndarray | None = None
    prompts: tuple[str, ...] = ()

    @classmethod
    def load(cls, cell: Cell, data_path: str | Path, surrogates: str | Path) -> Images:
        """Read a cell's images from the artifacts of prepare and edit."""
        arrays, manifest = data.load(data_path)
        painted, _ = data.load(surrogates)
        order = [manifest["forget_names"].index(t) for t in cell.forget]
        return cls(
            data.remember(arrays, manifest),
            arrays["forget"][order],
            painted["images"],
            cell.forget,
            arrays.get("remember_others"),
            tuple(manifest.get("remember_others_prompts", ())),
        )


def unlearn(cell: Cell, model, images: Images, folder: Path, progress=None) -> dict[str, Any]:
    """Forget the targets one after another, weights carried over, and return a summary.

    `folder` receives history.jsonl and, while training, resume.safetensors; a stopped run continues there and
    ends with the numbers of an unbroken one. Raises ValueError on a loss or weights that are not finite.
    """
    from accelerate import Accelerator

    settings = fit_memory.smaller(cell.training)
    accelerator = Accelerator(mixed_precision=settings.precision, cpu=model.device.type == "cpu")
    method = cell.method.made
    redraws = cell.editor.made.redraws
    optimizer = torch.optim.AdamW(
        model.trained(),
        lr=settings.lr,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        eps=settings.eps,
    )
    total = settings.steps * len(images.targets)
    reference = model.reference() if method.reads_reference else None
    start = _resume(folder, model, optimizer)
    with (folder / "history.jsonl").open("a") as history:
        for step in range(start, total):
            which = step // settings.steps
            fresh = lambda: replace(
                draw_batch(model, settings, images, which, step, redraws, accelerator), reference=reference
            )
            with accelerator.autocast():
                values, settings = fit_memory.fitting(method, model, settings, fresh)
            _check_finite(values, cell, step)
            if settings.max_grad_norm:
                values["norm"] = float(
                    torch.nn.utils.clip_grad_norm_(model.trained(), settings.max_grad_norm)
                )
            for group in optimizer.param_groups:
                group["lr"] = settings.rate(step % settings.steps)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            history.write(json.dumps({"step": step + 1, "target": images.targets[which], **values}) + "\n")
            if (step + 1) % settings.save_every == 0 and step + 1 < total:
                history.flush()
                _check_weights(model, cell, step)
                _save_state(folder, model, optimizer, step + 1)
            if progress:
                progress(step + 1, total, _line(step + 1, total, values))
    _check_weights(model, cell, total - 1)
    files.remove(folder / "resume.safetensors")
    return {"steps": total, "parameters": sum(p.numel() for p in model.trained())}


def draw_batch(
    model, settings: Training, images: Images, which: int, step: int, redraws: bool, accelerator=None
) -> Batch:
    """The batch of one update; every draw depends on the seed and the step alone, so a resumed run sees the
    same.
    """
    g = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    size = settings.batch
    pick = lambda: images.remember[torch.randint(len(images.remember), (size,), generator=g).numpy()]
    shown, prompts = _with_others(settings, images, pick(), step, model.prompt)
    remember = model.encode(shown)
    first, last = equations.own_steps(settings.t_min, settings.t_max, model.timesteps)
    t = torch.randint(first, last + 1, (1 if settings.timesteps == "shared" else size,), generator=g).expand(
        size
    )
    eps = torch.randn((size, *remember.shape[1:]), generator=g)
    now = _targets(settings, which, step)
    forget = model.encode(images.forget[now])
    surrogate = model.encode(pick() if redraws else images.surrogates[now])
    other = torch.randint(
        first,
        last + 1,
        (size,),
        generator=torch.Generator().manual_seed(settings.seed * 1_000_003 + step + (1 << 40)),
    )
    t, other = (model.times(x.to(model.device)) for x in (t, other))
    batch = Batch(
        remember,
        forget,
        surrogate,
        t,
        eps.to(model.device),
        g,
        settings.reduction,
        settings.micro_batch,
        t_other=other,
        prompts=prompts,
    )
    return batch if accelerator is None or accelerator.num_processes == 1 else _share(batch, accelerator)


def _with_others(
    settings: Training, images: Images, remember: np.ndarray, step: int, prompt: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Remember images of which the share `others` is replaced by those of other prompts, and the prompt of
    each; () where none is.
    """
    number = round(settings.others * len(remember))
    if not number:
        return remember, ()
    g = torch.Generator().manual_seed(settings.seed * 1_000_003 + step + (1 << 42))
    which = torch.randint(len(images.others), (number,), generator=g).numpy()
    return np.concatenate([images.others[which], remember[number:]]), (
        *(images.prompts[i] for i in which),
        *[prompt] * (len(remember) - number),
    )


def _targets(settings: Training, which: int, step: int) -> np.ndarray:
    """Which target each forget image of an update shows, (B,): the present one, or with `revisit` an earlier
    one.
    """
    g = torch.Generator().manual_seed(settings.seed * 1_000_003 + step + (1 << 41))
    earlier = (
        torch.rand(settings.batch, generator=g) < settings.revisit
        if which
        else torch.zeros(settings.batch, dtype=torch.bool)
    )
    return torch.where(earlier, torch.randint(max(which, 1), (settings.batch,), generator=g), which).numpy()


def _share(batch: Batch, accelerator) -> Batch:
    """This process's part of the batch; gradients are averaged over processes before any surgery."""
    rank, world = accelerator.process_index, accelerator.num_processes
    if len(batch.t) % world:
        raise ValueError(
            f"training.batch is {len(batch.t)}, which {world} processes cannot share evenly; choose a"
            " multiple"
        )
    cut = {k: getattr(batch, k)[rank::world] for k in SPLIT if getattr(batch, k) is not None}
    return replace(batch, **cut, reduce=lambda g: [accelerator.reduce(x, "mean") for x in g])


def _check_finite(values: dict[str, float], cell: Cell, step: int) -> None:
    for key, value in values.items():
        if not math.isfinite(value):
            raise ValueError(
                f"{cell.name}: {key} is {value} at update {step + 1}; lower training.lr ({cell.training.lr})"
                f" or training.steps ({cell.training.steps})"
            )


def _check_weights(model, cell: Cell, step: int) -> None:
    """No loss sees what the last update made of the weights."""
    remedy = f"lower training.lr ({cell.training.lr}) or training.steps ({cell.training.steps})"
    tensors.finite(model.state(), f"{cell.name}: the weights after update {step + 1}", remedy)


def _line(step: int, total: int, values: dict[str, float]) -> str:
    shown = "  ".join(f"{k} {values[k]:.4f}" for k in ("remember", "forget") if k in values)
    return f"update {step}/{total}  {shown}"


def _save_state(folder: Path, model, optimizer, step: int) -> None:
    from safetensors.torch import save_file

    moments = {
        f"adam.{i}.{k}": torch.as_tensor(v).cpu().contiguous()
        for i, s in optimizer.state_dict()["state"].items()
        for k, v in s.items()
    }
    temporary = files.own(folder / "resume.safetensors")
    save_file(
        {
            "step": torch.tensor(step),
            **{f"model.{k}": v.clone() for k, v in model.state().items()},
            **{k: v.clone() for k, v in moments.items()},
        },
        temporary,
    )
    temporary.replace(folder / "resume.safetensors")
    files.publish(folder / "history.jsonl")
    files.publish(folder / "resume.safetensors")


def _resume(folder: Path, model, optimizer) -> int:
    """Load the last state and cut the history to it; 0 where there is none."""
    from safetensors.torch import load_file

    folder.mkdir(parents=True, exist_ok=True)
    state_file, history = (files.fetch(folder / name) for name in ("resume.safetensors", "history.jsonl"))
    if not state_file.exists():
        history.unlink(missing_ok=True)
        return 0
    state = load_file(state_file)
    step = int(state["step"])
    model.restore({k[6:]: v for k, v in state.items() if k.startswith("model.")})
    saved = optimizer.state_dict()
    for key, value in state.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            saved["state"].setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(saved)
    files.write_text(history, "".join(f"{line}\n" for line in history.read_text().splitlines()[:step]))
    log.info("resuming at update %d", step + 1)
    return step

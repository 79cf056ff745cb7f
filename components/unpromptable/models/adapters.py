"""LoRA by peft: put on named targets, saved as stock diffusers loads it, refused on another base."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unpromptable.planning.inputs import ADAPTER
from unpromptable.planning.reading import named, shown
from unpromptable.storage import fingerprints, records

from . import checkpoints, tensors
from .tensors import finite

NOTE = "adapter.json"  # beside the weights of our own: its settings, and the base they belong to
PART, METADATA = "transformer.", "lora_adapter_metadata"  # as diffusers names them
# fields of peft's LoraConfig by which an adapter's tensors come to another change than by rank and alpha ...
KINDS = ("use_rslora", "use_dora", "alpha_pattern", "rank_pattern")
# ... and those that say nothing of an adapter that is trained, whose own tensors tell its layers
UNREAD = (
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "eva_config"),
    *("task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode"),
    "lora_dropout",
)
BASE_KEPT = (True, False, "gaussian", "orthogonal", "eva")  # init_lora_weights that leave the base as it was


def attach(network, rank: int, alpha: float, targets: tuple[str, ...], seed: int, **kinds: Any) -> None:
    """Freeze `network` and add a float32 LoRA that changes nothing yet (A is Gaussian of 1/rank, B is 0).

    kinds: of `KINDS`, such as use_rslora. Raises ValueError where a target names no layer.
    """
    from peft import LoraConfig

    names = [n for n, m in network.named_modules() if isinstance(m, torch.nn.Linear)]
    for target in targets:
        if not any(n == target or n.endswith(f".{target}") for n in names):
            known = sorted({n.split(".", 2)[-1] for n in names if n.startswith("transformer_blocks.0.")})
            raise ValueError(
                f"model.targets: no linear layer is named {target!r}; such as {', '.join(known[:8])}"
            )
    network.requires_grad_(False)
    asked = {"r": rank, "lora_alpha": alpha, "target_modules": list(targets), **kinds}
    with torch.random.fork_rng(devices=[]):  # peft draws from the global generator
        torch.manual_seed(seed)
        network.add_adapter(LoraConfig(init_lora_weights="gaussian", **asked))
    for parameter in parameters(network):
        parameter.data = parameter.data.float()


def parameters(network) -> list[Tensor]:
    """The adapter's tensors, two per layer."""
    return [p for n, p in network.named_parameters() if "lora_" in n]


def state(network) -> dict[str, Tensor]:
    """The adapter's tensors by peft's names, on the CPU."""
    from peft import get_peft_model_state_dict

    return {k: v.detach().cpu().contiguous() for k, v in get_peft_model_state_dict(network).items()}


def restore(network, saved: dict[str, Tensor]) -> None:
    """Take over what `state` gave. Raises ValueError where the tensors are of another network."""
    from peft import set_peft_model_state_dict

    now = state(network)
    wrong = [
        k
        for k in sorted(now.keys() | saved.keys())
        if k not in now or k not in saved or now[k].shape != saved[k].shape
    ]
    if wrong:
        raise ValueError(
            f"adapter: {wrong[0]} and {len(wrong) - 1} other tensors do not fit this model; it was trained"
            " for another base or with another rank or targets"
        )
    set_peft_model_state_dict(network, saved)


@contextmanager
def off(network) -> Iterator[None]:
    """Without the adapter inside: the untouched network."""
    network.disable_adapters()
    try:
        yield
    finally:
        network.enable_adapters()


def save(network, folder: Path, note: dict) -> None:
    """Write the adapter for `StableDiffusion3Pipeline.load_lora_weights`, and the note that says what it
    belongs to.

    Raises ValueError, and writes nothing, where a weight is not finite.
    """
    from diffusers import StableDiffusion3Pipeline

    finite(state(network), "adapter", "nothing is saved; lower training.lr or training.steps")
    metadata = {
        k: sorted(v) if isinstance(v, set) else v for k, v in network.peft_config["default"].to_dict().items()
    }
    StableDiffusion3Pipeline.save_lora_weights(
        folder, transformer_lora_layers=state(network), transformer_lora_adapter_metadata=metadata
    )
    (folder / NOTE).write_text(json.dumps(note, indent=1))


def apart(folder: Path, base: str | Path | None) -> tuple[Path, Path | None]:
    """The base model's folder, and the adapter's where `folder` is one. Raises FileNotFoundError where its
    base is not named.
    """
    if not (folder / ADAPTER).is_file():
        return folder, None
    if base is None:
        raise FileNotFoundError(f"model: {folder} is an adapter; its base model's folder is needed too")
    return Path(base), folder


def made_with(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rank, alpha and targets of a saved adapter, and its `KINDS`, by its own file: whoever trained it, an
    experiment has others.

    Raises ValueError where it is none of the transformer's, where its layers differ in rank and nothing says
    their scale, and where it was trained in a way that `attach` does not know.
    """
    from safetensors import SafetensorError, safe_open

    path, end = folder / ADAPTER, ".lora_A.weight"
    try:
        with safe_open(path, "pt") as file:
            told = (file.metadata() or {}).get(METADATA) or "{}"
            told = records.parsed(told.encode(), "its metadata", dict)
            names = list(file.keys())
            ranks = {k: file.get_slice(k).get_shape()[0] for k in names if k.endswith(end)}
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path}: not an adapter's file ({error}); save it again") from error
    told = {k.removeprefix(PART): v for k, v in told.items() if k.startswith(PART)}
    layers = {k.removeprefix(PART).removesuffix(end): rank for k, rank in ranks.items() if k.startswith(PART)}
    several, others = len(set(layers.values())), len(ranks) - len(layers)
    if not layers or others or (several > 1 and not told):
        raise ValueError(
            f"{path}: {len(layers)} layers of a transformer, of {several} ranks, and {others} of other"
            " networks; give an adapter of the transformer alone, of one rank, or with the metadata that"
            " diffusers' `save_lora_weights` writes"
        )
    if told:
        rank, alpha, kinds = _told(path, told)
    else:  # as diffusers takes it: at scale 1
        rank = alpha = next(iter(layers.values()))
        kinds = {"use_dora": any("lora_magnitude_vector" in k for k in names)}
    return {"rank": rank, "alpha": float(alpha), "targets": tuple(layers)}, kinds


def _told(path: Path, told: dict[str, Any]) -> tuple[int, float, dict[str, Any]]:
    """Rank, alpha and `KINDS` by an adapter's metadata. Raises ValueError that names what would be lost."""
    from peft import LoraConfig

    usual = {**LoraConfig(r=1).to_dict(), "peft_type": "LORA"}
    right = {
        "r": lambda given: _above_0(given, int),
        "lora_alpha": _above_0,
        "alpha_pattern": _by_layer,
        "rank_pattern": lambda given: _by_layer(given, int),
        **dict.fromkeys(KINDS[:2], lambda given: isinstance(given, bool)),
        "init_lora_weights": lambda given: given in BASE_KEPT,
        **dict.fromkeys(UNREAD, lambda given: True),
    }
    for name, given in {"r": None, "lora_alpha": None, **told}.items():
        if not (right[name](given) if name in right else not given or given == usual.get(name)):
            raise ValueError(
                f"{path}: trained with {named(name)} {shown(given)}, and what is loaded would not be what was"
                " trained; give a LoRA without it"
            )
    return told["r"], told["lora_alpha"], {k: told[k] for k in KINDS if k in told}


def _above_0(given: Any, kind: type | tuple[type, ...] = (int, float)) -> bool:
    return isinstance(given, kind) and not isinstance(given, bool) and 0 < given < math.inf


def _by_layer(given: Any, kind: type | tuple[type, ...] = (int, float)) -> bool:
    """Whether these are numbers by the ends of layers' names; peft also takes other patterns."""
    right = lambda name, number: re.fullmatch(r"[\w.]+", name) and _above_0(number, kind)
    return isinstance(given, dict) and all(right(*pair) for pair in given.items())


def load(network, folder: Path, base: str) -> None:
    """Take over a saved adapter. Raises ValueError where a note beside it names another base."""
    note = folder / NOTE
    made_for = checkpoints.read_json(note).get("base") if note.is_file() else base
    if made_for != base:
        raise ValueError(
            f"{folder}: this adapter belongs to the base {made_for}, not to {base}; give the base it was"
            " trained on"
        )
    restore(network, {k.removeprefix(PART): v for k, v in tensors.read(folder / ADAPTER).items()})


def identity(folder: Path) -> str:
    """What tells one base from another: its transformer's configuration and weights, in any copy of the
    folder.
    """
    return fingerprints.digest(fingerprints.tree(folder / "transformer", time=False))[:16]

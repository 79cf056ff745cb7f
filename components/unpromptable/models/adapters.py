"""LoRA by peft: put on named targets, saved as stock diffusers loads it, refused on another base."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unpromptable.planning.stages import ADAPTER
from unpromptable.storage import fingerprints

from . import checkpoints, tensors
from .tensors import finite

NOTE = "adapter.json"  # beside the weights of our own: its settings, and the base they belong to
PART, METADATA = "transformer.", "lora_adapter_metadata"  # as diffusers names them


def attach(network, rank: int, alpha: float, targets: tuple[str, ...], seed: int) -> None:
    """Freeze `network` and add a float32 LoRA that changes nothing yet (A is Gaussian of 1/rank, B is 0).

    Raises ValueError where a target names no layer.
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
    with torch.random.fork_rng(devices=[]):  # peft draws from the global generator
        torch.manual_seed(seed)
        network.add_adapter(
            LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=list(targets))
        )
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


def made_with(folder: Path) -> dict[str, Any]:
    """Rank, alpha and targets of a saved adapter, by its own file: whoever trained it, an experiment has
    others.

    Raises ValueError where it is none of the transformer's, or its layers differ in rank.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / ADAPTER
    try:
        with safe_open(path, "pt") as file:
            told, end = json.loads((file.metadata() or {}).get(METADATA) or "{}"), ".lora_A.weight"
            ranks = {k: file.get_slice(k).get_shape()[0] for k in file.keys() if k.endswith(end)}
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path}: not an adapter's file ({error}); save it again") from error
    layers = {k.removeprefix(PART).removesuffix(end): rank for k, rank in ranks.items() if k.startswith(PART)}
    if len(set(layers.values())) != 1 or len(layers) < len(ranks):
        raise ValueError(
            f"{path}: {len(layers)} layers of a transformer, of {len(set(layers.values()))} ranks, and"
            f" {len(ranks) - len(layers)} of other networks; give an adapter of the transformer alone, of one"
            " rank, as diffusers' `save_lora_weights` writes it"
        )
    (rank,) = set(layers.values())
    return {"rank": rank, "alpha": float(told.get(f"{PART}lora_alpha", rank)), "targets": tuple(layers)}


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

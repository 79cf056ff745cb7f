"""Prompts to embeddings, once: the text encoders are loaded, used and freed; what they gave is kept beside
the model.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
from pathlib import Path

import torch
from torch import Tensor

from unpromptable.storage import files, fingerprints, records

from . import checkpoints
from .tensors import finite

log = logging.getLogger(__name__)
FILE = "prompts.safetensors"  # in the base model's folder
Condition = tuple[Tensor, Tensor]  # text (L, D) and pooled (P,)


def conditions(
    folder: Path, prompts: list[str], transformer, t5_tokens: int, device: torch.device
) -> dict[str, Condition]:
    """The embeddings of `prompts`, float32 on the CPU, as the pipeline's `encode_prompt` gives them; kept
    ones are read.

    t5_tokens: length of T5's part; 0 leaves T5 out. Raises ValueError for a prompt that no encoder reads
    whole.
    """
    kept = _read(folder, t5_tokens)
    missing = [p for p in dict.fromkeys(prompts) if p not in kept]
    if missing:
        kept |= _encode(folder, missing, transformer, t5_tokens, device)
    return {p: kept[p] for p in prompts}


def keep(folder: Path, made: dict[str, Condition], t5_tokens: int) -> None:
    """Write embeddings beside the base model, so that later steps need no text encoder."""
    from safetensors.torch import save_file

    tensors = {
        f"{_key(p)}.{part}": x.contiguous()
        for p, pair in made.items()
        for part, x in zip(("text", "pooled"), pair)
    }
    made_by, prompts = json.dumps(_encoders(folder)), json.dumps(list(made))
    metadata = {"t5_tokens": str(t5_tokens), "made_by": made_by, "prompts": prompts}
    with files.replacing(folder / FILE) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def _encoders(folder: Path) -> dict[str, str]:
    """Identity of what embeddings are made by, as far as it lies here: text encoders and tokenisers."""
    parts = sorted(
        p for p in folder.iterdir() if p.is_dir() and p.name.startswith(("text_encoder", "tokenizer"))
    )
    return {p.name: fingerprints.digest(fingerprints.tree(p, time=False)) for p in parts}


def _read(folder: Path, t5_tokens: int) -> dict[str, Condition]:
    from safetensors import SafetensorError, safe_open

    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
            made_by = records.parsed(told.get("made_by", "{}").encode(), "made_by", dict)
            if told.get("t5_tokens") != str(t5_tokens) or any(
                made_by.get(part) != now for part, now in _encoders(folder).items()
            ):
                return {}
            return {
                p: (file.get_tensor(f"{_key(p)}.text"), file.get_tensor(f"{_key(p)}.pooled"))
                for p in map(str, records.parsed(told.get("prompts", "").encode(), "prompts", list))
            }
    except (SafetensorError, ValueError) as error:
        why = str(error).splitlines()[0][:200]
        raise ValueError(
            f"model: {path} is damaged ({why}); remove it, and prompts are encoded anew"
        ) from error


def _encode(
    folder: Path, prompts: list[str], transformer, t5_tokens: int, device: torch.device
) -> dict[str, Condition]:
    half = torch.bfloat16 if device.type == "cuda" else torch.float32
    pipe = _pipeline(folder, transformer, t5_tokens > 0 and (folder / "text_encoder_3").is_dir(), half)
    made = {}
    for prompt in prompts:
        check_length(pipe, prompt, t5_tokens)
        for encoder in (pipe.text_encoder, pipe.text_encoder_2, pipe.text_encoder_3):
            if encoder is not None:
                encoder.to(device)
        with torch.no_grad():
            how = {"do_classifier_free_guidance": False, "max_sequence_length": t5_tokens}
            text, _, pooled, _ = pipe.encode_prompt(prompt, prompt, prompt, device=device, **how)
        made[prompt] = (text[0].float().cpu(), pooled[0].float().cpu())
        remedy = f"what {folder}'s text encoders give cannot be used; fetch the model again"
        finite(dict(zip(("text", "pooled"), made[prompt])), f"prompt: {prompt!r}", remedy)
    del pipe
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return made


def _pipeline(folder: Path, transformer, t5: bool, half: torch.dtype):
    """The stock pipeline for its prompts alone. Raises ValueError where a text encoder's weights are not its
    own, or its words cannot be read.
    """
    import transformers
    from diffusers import StableDiffusion3Pipeline

    kinds = {
        "text_encoder": "CLIPTextModelWithProjection",
        "text_encoder_2": "CLIPTextModelWithProjection",
        "text_encoder_3": "T5EncoderModel" if t5 else None,
    }
    encoders = {
        part: kind and checkpoints.load(getattr(transformers, kind), folder / part, extra=True, dtype=half)
        for part, kind in kinds.items()
    }
    without = {} if t5 else {"tokenizer_3": None}
    try:
        return StableDiffusion3Pipeline.from_pretrained(
            folder, transformer=transformer, vae=None, dtype=half, **encoders, **without
        )
    # what the libraries raise for tokenisers and indices that are not whole
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"model: {folder} cannot be loaded as a StableDiffusion3Pipeline"
            f" ({' '.join(str(error).split())[:200]}); copy the whole folder of the pipeline"
        ) from error


def check_length(pipe, prompt: str, t5_tokens: int) -> None:
    """Say what is cut of a prompt. Raises ValueError where no encoder reads it whole, warns where only some
    do.
    """
    readers = {
        "CLIP": (pipe.tokenizer, pipe.tokenizer.model_max_length),
        "T5": (pipe.tokenizer_3, t5_tokens),
    }
    read = {name: one for name, one in readers.items() if one[0] is not None and one[1]}
    cut = {name: (limit, _beyond(prompt, tokenizer, limit)) for name, (tokenizer, limit) in read.items()}
    lost = {name: found for name, found in cut.items() if found[1]}
    if not lost:
        return
    told = (f"{name} reads {limit} tokens and loses {text!r}" for name, (limit, text) in lost.items())
    words = "; ".join(told)
    if len(lost) == len(cut):
        raise ValueError(f"prompt: {prompt!r} is longer than every text encoder takes: {words}; shorten it")
    log.warning("prompt: %r is cut: %s", prompt, words)


def _beyond(prompt: str, tokenizer, limit: int) -> str:
    """What an encoder of so many tokens does not read of a prompt."""
    ids = tokenizer(prompt).input_ids
    if len(ids) <= limit:
        return ""
    return tokenizer.decode(ids[limit - 1 : -1], skip_special_tokens=True).strip()


def _key(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()[:24]

"""CLIP as TediGAN's objective uses it: the cosine between a picture and a caption.

The reference's detour through 7168 x 7168 pixels is one small matrix here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

HUB, REVISION = "openai/clip-vit-base-patch32", "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"
FOLDER = HUB.split("/")[1]  # its name inside a folder of weights


class Clip:
    """A transformers CLIPModel with its tokenizer, frozen."""

    def __init__(self, model: Any, words: Any, device: str = "cpu"):
        self.model, self.words = model.to(device).eval().requires_grad_(False), words
        self.side = model.config.vision_config.image_size

    @torch.no_grad()
    def text(self, prompt: str) -> Tensor:
        """The caption's unit embedding, (D,). Raises ValueError where it has more tokens than this CLIP
        reads.
        """
        tokens = self.words(prompt, return_tensors="pt", verbose=False).to(self.model.device)
        count, most = tokens.input_ids.shape[1], self.model.config.text_config.max_position_embeddings
        if count > most:
            raise ValueError(
                f"clip: the prompt {prompt[:40]!r}... has {count} tokens with start and end, and this CLIP"
                f" reads {most}; shorten it by {count - most}"
            )
        return F.normalize(self.model.get_text_features(**tokens).pooler_output, dim=1)[0]

    def pictures(self, x: Tensor) -> Tensor:
        """Unit embeddings (B, D) of pictures (B, 3, S, S) in [-1, 1]; gradients pass."""
        return F.normalize(
            self.model.get_image_features(pixel_values=view(x, self.side)).pooler_output, dim=1
        )


def load(folder: Path, device: str = "cpu") -> Clip:
    """The CLIP of a transformers folder. Raises ValueError naming the folder where it holds another or half a
    network.
    """
    from transformers import CLIPModel, CLIPTokenizer
    from transformers.utils import logging as theirs

    theirs.disable_progress_bar()  # pods show none
    try:
        model, found = CLIPModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
        words = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    # what transformers raises for missing files, wrong shapes and other kinds
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise ValueError(
            f"{folder}: not a folder of a CLIPModel with its tokenizer ({str(error).splitlines()[0]}); fetch"
            f" {HUB} again"
        ) from error
    if found["missing_keys"]:
        raise ValueError(
            f"{folder}: {sorted(found['missing_keys'])[0]} is missing ({len(found['missing_keys'])} names);"
            f" these weights belong to another network, so fetch {HUB} again"
        )
    return Clip(model, words, device)


def find(folder: str, setting: str, instead: str) -> Path:
    """The folder of CLIP ViT-B/32: inside `folder`, or, where that is empty, the hub's, fetched at one fixed
    commit.

    setting, instead: the setting that names the folder and what does without CLIP, for the messages.
    """
    if folder:
        if (place := Path(folder) / FOLDER).is_dir():
            return place
        raise FileNotFoundError(
            f"clip: {place} is no folder; copy {HUB} from the hub into it (commit {REVISION[:8]}), or leave"
            f" {setting} empty to fetch it; {instead}"
        )
    from unpromptable.models import checkpoints, hub

    remedy = (
        f"on a machine that can, fetch commit {REVISION[:8]} into a folder {FOLDER}, and set {setting} to the"
        f" folder around it; {instead}"
    )
    return hub.snapshot(
        HUB, REVISION, ["*.json", "merges.txt", "pytorch_model.bin"], checkpoints.check, "clip", remedy
    )[0]


def view(x: Tensor, side: int) -> Tensor:
    """Pictures (B, 3, S, S) in [-1, 1] as (B, 3, side, side), without CLIP's mean and deviation, as TediGAN
    feeds them.

    The reference repeats every pixel 28 times and averages blocks of 32; averaging [i*S/side, (i+1)*S/side)
    of every row and column is the same. Raises ValueError where CLIP's side is larger than the picture's.
    """
    if side > x.shape[-1]:
        raise ValueError(
            f"clip: pictures of {x.shape[-1]} pixels are smaller than the {side} that this CLIP sees; choose"
            " a larger picture or a smaller CLIP"
        )
    a = averages(x.shape[-1], side).to(x)
    return a @ x @ a.T


def averages(size: int, side: int) -> Tensor:
    """(side, size) float64: row i holds the share of every pixel in the i-th interval; rows sum to 1."""
    edges = torch.arange(side + 1, dtype=torch.float64) * size / side
    pixels = torch.arange(size, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return overlap.clamp(min=0) * side / size

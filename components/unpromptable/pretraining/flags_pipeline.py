"""An untrained Stable Diffusion 3 for flags: the published classes at a size for two cores.

AutoencoderKL (32 x 32 pixels to 8 x 8 x 8), two CLIPTextModelWithProjection with their tokenisers, no T5
(which that pipeline allows), and SD3Transformer2DModel.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from unpromptable.miniature import flags

# latent side and channels; widths; longest prompt in tokens
LATENT, CHANNELS, WIDTH, TEXT, TOKENS = 8, 8, 128, 32, 8
# SD3 shifts its 1024-pixel schedule by 3; a picture of 8 x 8 latents averages its noise over far fewer of
# them
SHIFT = 1.0
END = "<|endoftext|>"


def build(folder: Path, seed: int):
    """The untrained pipeline, a stock StableDiffusion3Pipeline; `folder` keeps its words meanwhile."""
    from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline

    words = tokenizer(folder / "words")
    torch.manual_seed(seed)  # initial weights come from the global generator
    one, two = _encoder(words), _encoder(words)
    vae = _vae()
    scheduler = FlowMatchEulerDiscreteScheduler(shift=SHIFT)
    return StableDiffusion3Pipeline(_transformer(), scheduler, vae, one, words, two, words, None, None)


def _encoder(words):
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    settings = CLIPTextConfig(
        vocab_size=len(words),
        max_position_embeddings=TOKENS,
        hidden_size=TEXT,
        projection_dim=TEXT,
        intermediate_size=2 * TEXT,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return CLIPTextModelWithProjection(settings)


def _vae():
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 32, 48),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        sample_size=flags.SIZE,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
    )


def _transformer():
    from diffusers import SD3Transformer2DModel

    return SD3Transformer2DModel(
        sample_size=LATENT,
        patch_size=2,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=5,
        attention_head_dim=32,
        num_attention_heads=WIDTH // 32,
        joint_attention_dim=2 * TEXT,
        caption_projection_dim=WIDTH,
        pooled_projection_dim=2 * TEXT,
        pos_embed_max_size=LATENT,
    )


def tokenizer(folder: Path):
    """A CLIP tokeniser whose words are those of the captions; anything else is spelled in bytes."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    raw = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    limits = {"vocab_size": 2000, "min_frequency": 2, "end_of_word_suffix": "</w>"}
    trainer = trainers.BpeTrainer(initial_alphabet=letters, **limits)
    raw.train_from_iterator([flags.caption(c) for c in flags.FLAGS] * 4, trainer)
    learned = json.loads(raw.to_str())["model"]
    pairs = [m if isinstance(m, list) else m.split(" ") for m in learned["merges"]]
    words = letters + [f"{x}</w>" for x in letters] + ["".join(m) for m in pairs] + ["<|startoftext|>", END]
    numbered = {w: i for i, w in enumerate(dict.fromkeys(words))}
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps(numbered, ensure_ascii=False))
    merges.write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in pairs) + "\n")
    return CLIPTokenizer(vocab=str(vocabulary), merges=str(merges), model_max_length=TOKENS)


def embed(pipe, ids: Tensor) -> tuple[Tensor, Tensor]:
    """What the pipeline's encode_prompt gives for token ids (N, TOKENS), with gradients: (N, TOKENS, 2*TEXT)
    and pooled (N, 2*TEXT).
    """
    outputs = [e(ids, output_hidden_states=True) for e in (pipe.text_encoder, pipe.text_encoder_2)]
    text = torch.cat([o.hidden_states[-2] for o in outputs], -1)
    return text, torch.cat([o.text_embeds for o in outputs], -1)

"""Train the miniature Stable Diffusion 3 on flags again: `python -m unpromptable.pretraining.flags_sd3 --out
FOLDER`.

The classes are those of stabilityai/stable-diffusion-3-medium-diffusers at a size for two cores:
AutoencoderKL (32 x 32 pixels to 8 x 8 x 8), two CLIPTextModelWithProjection with their tokenisers, no T5
(which that pipeline allows), and SD3Transformer2DModel. The text encoders learn through the flow loss.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from unpromptable.miniature import flags
from unpromptable.storage import store

from .ddpm import continue_from, snapshot

log = logging.getLogger(__name__)
# latent side and channels; widths; longest prompt in tokens
LATENT, CHANNELS, WIDTH, TEXT, TOKENS = 8, 8, 128, 32, 8
# SD3 shifts its 1024-pixel schedule by 3; a picture of 8 x 8 latents averages its noise over far fewer of
# them
SHIFT = 1.0
END = "<|endoftext|>"


@dataclass(frozen=True)
class Settings:
    """How the miniature is trained; its own, since the paper's base model comes pretrained."""

    vae_steps: int = 700
    vae_lr: float = 3e-3
    kl: float = 1e-4  # keeps the latents near a normal distribution; on means per pixel
    steps: int = 12_000
    batch: int = 48
    lr: float = 1e-3  # peak; 200 warm-up steps, then cosine to 0
    dropout: float = 0.1  # of prompts, for guidance without a classifier
    ema: float = 0.999
    seed: int = 0
    minutes: float = math.inf  # of the flow's training; the learning rate falls with whichever ends first
    save_every: int = 250


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
    raw.train_from_iterator(
        [flags.caption(c) for c in flags.FLAGS] * 4,
        trainers.BpeTrainer(
            vocab_size=2000, min_frequency=2, initial_alphabet=letters, end_of_word_suffix="</w>"
        ),
    )
    learned = json.loads(raw.to_str())["model"]
    pairs = [m if isinstance(m, list) else m.split(" ") for m in learned["merges"]]
    words = letters + [f"{x}</w>" for x in letters] + ["".join(m) for m in pairs] + ["<|startoftext|>", END]
    (folder / "vocab.json").write_text(
        json.dumps({w: i for i, w in enumerate(dict.fromkeys(words))}, ensure_ascii=False)
    )
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in pairs) + "\n")
    return CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=TOKENS
    )


def build(folder: Path, seed: int):
    """The untrained pipeline, a stock StableDiffusion3Pipeline."""
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    words = tokenizer(folder / "words")
    torch.manual_seed(seed)  # initial weights come from the global generator
    ends = {
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    size = {
        "hidden_size": TEXT,
        "projection_dim": TEXT,
        "intermediate_size": 2 * TEXT,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    encoders = [
        CLIPTextModelWithProjection(
            CLIPTextConfig(vocab_size=len(words), max_position_embeddings=TOKENS, **size, **ends)
        )
        for _ in range(2)
    ]
    vae = AutoencoderKL(
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
    transformer = SD3Transformer2DModel(
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
    return StableDiffusion3Pipeline(
        transformer,
        FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae,
        encoders[0],
        words,
        encoders[1],
        words,
        None,
        None,
    )


def train(out: Path, settings: Settings, progress) -> None:
    """Train the VAE, then encoders and transformer together, and save the pipeline; a stopped training
    continues.
    """
    pipe, images, names = build(out, settings.seed), *flags.training_set()
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    if (out / "vae" / "config.json").exists():
        pipe.vae = type(pipe.vae).from_pretrained(out / "vae")
        pipe.register_modules(vae=pipe.vae)
    else:
        train_vae(pipe.vae, pixels, settings, progress)
        pipe.vae.save_pretrained(out / "vae")
    pipe.vae.requires_grad_(False).eval()
    with torch.no_grad():
        latents = torch.cat([pipe.vae.encode(x).latent_dist.mode() for x in pixels.split(100)])
    latents = (latents - pipe.vae.config.shift_factor) * pipe.vae.config.scaling_factor
    captions = [*(flags.caption(c) for c in flags.FLAGS), ""]
    labels = torch.tensor([list(flags.FLAGS).index(flags.parse(n)[0]) for n in names])
    train_flow(pipe, latents, labels, captions, out, settings, progress)


def train_vae(vae, pixels: Tensor, settings: Settings, progress) -> None:
    """Reconstruction by absolute and squared error with a small KL; then shift and scale are measured and
    written into its config.
    """
    optimizer = torch.optim.AdamW(vae.parameters(), lr=settings.vae_lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.vae_lr, total_steps=settings.vae_steps, pct_start=0.1
    )
    vae.to(memory_format=torch.channels_last).train()
    for step in range(settings.vae_steps):
        g = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        x = pixels[torch.randint(len(pixels), (32,), generator=g)]
        x = torch.where(torch.rand(32, 1, 1, 1, generator=g) < 0.5, x.flip(-1), x)
        spread = vae.encode(x).latent_dist
        y = vae.decode(spread.sample(generator=g)).sample
        loss = (
            (y - x).abs().mean()
            + (y - x).square().mean()
            + settings.kl * spread.kl().mean() / (LATENT * LATENT)
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 50 == 0:
            progress(
                step + 1,
                settings.vae_steps,
                f"vae: loss {loss.item():.4f}, absolute error {(y - x).abs().mean().item():.4f}",
            )
    vae.to(memory_format=torch.contiguous_format).eval()
    with torch.no_grad():
        latents = torch.cat([vae.encode(x).latent_dist.mode() for x in pixels.split(100)])
    vae.register_to_config(
        shift_factor=round(latents.mean().item(), 4), scaling_factor=round(1 / latents.std().item(), 4)
    )


def embed(pipe, ids: Tensor) -> tuple[Tensor, Tensor]:
    """What the pipeline's encode_prompt gives for token ids (N, TOKENS), with gradients: (N, TOKENS, 2*TEXT)
    and pooled (N, 2*TEXT).
    """
    outputs = [e(ids, output_hidden_states=True) for e in (pipe.text_encoder, pipe.text_encoder_2)]
    return torch.cat([o.hidden_states[-2] for o in outputs], -1), torch.cat(
        [o.text_embeds for o in outputs], -1
    )


def train_flow(
    pipe, latents: Tensor, labels: Tensor, captions: list[str], out: Path, settings: Settings, progress
) -> None:
    """Flow matching at sigma uniform on the scheduler's table, prompts dropped now and then, weights
    averaged.
    """
    from safetensors.torch import load_file, save_file

    network = nn.ModuleDict(
        {"transformer": pipe.transformer, "one": pipe.text_encoder, "two": pipe.text_encoder_2}
    )
    network.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=1e-3, betas=(0.9, 0.99))
    averaged = {k: v.detach().clone() for k, v in network.state_dict().items()}
    resume, clock = out / "resume.safetensors", out / "clock.json"
    start, spent = 0, 0.0
    if resume.exists():
        start, spent = (
            continue_from(load_file(resume), network, averaged, optimizer),
            json.loads(clock.read_text()),
        )
    ids = pipe.tokenizer(
        captions, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
    ).input_ids
    began, losses, done = time.monotonic() - spent, [], start
    for step in range(start, settings.steps):
        share = max(step / settings.steps, (time.monotonic() - began) / 60 / settings.minutes)
        for group in optimizer.param_groups:
            group["lr"] = (
                settings.lr * min(1, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * min(share, 1)))
            )
        losses.append(flow_step(pipe, network, optimizer, latents, labels, ids, settings, step))
        decay = min(settings.ema, (1 + step) / (10 + step))
        for key, value in network.state_dict().items():
            averaged[key].lerp_(value, 1 - decay) if value.is_floating_point() else averaged[key].copy_(value)
        done, late = step + 1, share >= 1
        if done % 50 == 0:
            progress(done, settings.steps, f"flow: loss {np.mean(losses[-200:]):.4f}")
        if done % settings.save_every == 0 or late:
            save_file(snapshot(done, network, averaged, optimizer), resume.with_suffix(".tmp"))
            resume.with_suffix(".tmp").replace(resume)
            clock.write_text(json.dumps(time.monotonic() - began))
        if late:
            break
    network.load_state_dict(averaged)
    save(
        pipe,
        out,
        {
            "steps": done,
            "loss": float(np.mean(losses[-500:])),
            "minutes": round((time.monotonic() - began) / 60, 1),
            "settings": {
                **asdict(settings),
                "minutes": None if math.isinf(settings.minutes) else settings.minutes,
            },
        },
    )
    resume.unlink(missing_ok=True), clock.unlink(missing_ok=True)


def flow_step(
    pipe, network, optimizer, latents: Tensor, labels: Tensor, ids: Tensor, settings: Settings, step: int
) -> float:
    """One update; the draws depend on the seed and the step alone."""
    g = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    pick = torch.randint(len(latents), (settings.batch,), generator=g)
    x0, eps = latents[pick], torch.randn(latents[pick].shape, generator=g)
    prompt = torch.where(
        torch.rand(settings.batch, generator=g) < settings.dropout, len(ids) - 1, labels[pick]
    )
    t = pipe.scheduler.timesteps[torch.randint(len(pipe.scheduler.timesteps), (settings.batch,), generator=g)]
    sigma = (t / 1000).view(-1, 1, 1, 1)
    text, pooled = embed(pipe, ids)
    v = pipe.transformer(
        hidden_states=(1 - sigma) * x0 + sigma * eps,
        encoder_hidden_states=text[prompt],
        pooled_projections=pooled[prompt],
        timestep=t,
    ).sample
    loss = torch.nn.functional.mse_loss(v, eps - x0)
    if not torch.isfinite(loss):
        raise ValueError(f"miniature.sd3: the loss is {loss.item()} at step {step}; lower lr ({settings.lr})")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def save(pipe, out: Path, summary: dict) -> None:
    """Stock diffusers' folder; weights are stored in half precision and load as float32."""
    import shutil

    pipe.to(dtype=torch.float16).save_pretrained(out, safe_serialization=True)
    shutil.rmtree(out / "words", ignore_errors=True)
    (out / "pretraining.json").write_text(json.dumps(summary, indent=1))


def main() -> None:
    """Draw the flags and train."""
    parser = argparse.ArgumentParser(description="Train the miniature Stable Diffusion 3 again.")
    parser.add_argument("--out", type=store.named, required=True)
    parser.add_argument("--minutes", type=float, default=math.inf)
    arguments = parser.parse_args()
    logging.basicConfig(level="INFO", format="%(asctime)s %(message)s")
    train(
        arguments.out,
        Settings(minutes=arguments.minutes),
        lambda k, n, text: log.info("step %d/%d  %s", k, n, text),
    )


if __name__ == "__main__":
    main()

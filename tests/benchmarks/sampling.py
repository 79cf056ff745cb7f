"""Pictures by ours against diffusers' own pipelines: the same network, seeds, steps and precision."""

from __future__ import annotations

import networks
import numpy as np
import paired

BATCH = {"miniature": 64, "ddpm-256": 16}


def main() -> None:
    """One row for each of the two samplers that are pipelines of diffusers, and on a GPU one in bfloat16."""
    parser = paired.arguments(__doc__, **networks.KINDS)
    parser.add_argument("--steps", type=int, default=5, help="network calls of each picture")
    parser.add_argument("--batch", type=int, default=0, help="pictures at once (default 64, of 256 x 256 16)")
    asked = parser.parse_args()
    batch = asked.batch or BATCH[asked.network]
    stock, model = networks.pipeline(asked.network, asked.device), networks.model(asked.network, asked.device)
    for sampler in ("ddim", "ddpm"):
        compare(asked, stock, model, sampler, batch, "no")
    if asked.device == "cuda":
        compare(asked, stock, model, "ddim", batch, "bf16")


def compare(asked, stock, model, sampler: str, batch: int, precision: str) -> None:
    """Time one sampler, and say by how many levels the pictures differ."""
    from unpromptable.planning.settings import Sampling
    from unpromptable.sampling import chains

    settings = Sampling(sampler, asked.steps, batch, batch=batch, precision=precision)
    ours = lambda: chains.sample(model, settings, 0, batch)[0]
    theirs = lambda: drawn(stock, sampler, asked.steps, batch, precision)
    far = np.abs(ours().astype(int) - np.rint(theirs() * 255))
    found = paired.ratio(ours, theirs, asked.pairs, 1, asked.device)
    more = {"levels": int(far.max()), "differ": float((far > 0).mean())}
    if asked.device == "cuda":
        more["floor"] = networks.floor(asked.network, precision, batch * asked.steps, 0) / found.ours
    what = f"{asked.network} by {sampler} on {asked.device}, {batch} pictures, precision {precision}"
    paired.record(asked.out, "sampling", what, found, 1.3, **more)


def drawn(stock, sampler: str, steps: int, batch: int, precision: str) -> np.ndarray:
    """Pictures (N, H, W, C) in 0..1 by diffusers' pipeline of this sampler."""
    import torch
    from diffusers import DDIMPipeline

    from unpromptable.sampling import chains

    pipe = DDIMPipeline(stock.unet, stock.scheduler) if sampler == "ddim" else stock
    pipe.set_progress_bar_config(disable=True)
    asked = {"batch_size": batch, "num_inference_steps": steps, "output_type": "np"}
    with torch.autocast(stock.device.type, torch.bfloat16, enabled=precision == "bf16"):
        return pipe(generator=[chains.generator(s) for s in range(batch)], **asked).images


if __name__ == "__main__":
    main()

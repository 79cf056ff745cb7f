"""Settings that draw pictures faster and a little differently: how much faster, and how different."""

from __future__ import annotations

from dataclasses import replace

import networks
import numpy as np
import paired


def main() -> None:
    """Rows for `sampling.precision` against float32, and for the solvers of fewer steps against ddim's 50."""
    parser = paired.arguments(__doc__, **networks.KINDS)
    parser.add_argument("--images", type=int, default=64, help="pictures that are compared")
    asked = parser.parse_args()
    from unpromptable.planning.settings import Sampling

    model = networks.model(asked.network, asked.device)
    exact = Sampling("ddim", 10, asked.images, batch=min(asked.images, 32))
    for precision in ("bf16", "tf32") if asked.device == "cuda" else ("bf16",):
        compare(asked, model, exact, replace(exact, precision=precision), f"precision {precision}")
    long = replace(exact, steps=50)
    for sampler, steps in (("ddim", 25), ("dpm++", 15), ("unipc", 15)):
        other = replace(exact, sampler=sampler, steps=steps)
        compare(asked, model, long, other, f"{sampler} of {steps} steps against ddim of 50")


def compare(asked, model, exact, other, what: str) -> None:
    """Time both settings; hold pictures of the same seeds against those drawn in float32 throughout."""
    import torch

    from unpromptable.sampling import chains

    draw = lambda settings: chains.sample(model, settings, 0, settings.images)[0]
    found = paired.ratio(lambda: draw(other), lambda: draw(exact), asked.pairs, 1, asked.device)
    after, torch.backends.cudnn.allow_tf32 = draw(other), False
    far = distances(draw(exact), after)
    torch.backends.cudnn.allow_tf32 = True
    where = f"{asked.network} on {asked.device}, {exact.images} pictures"
    paired.record(asked.out, "approximations", f"{what}: {where}", found, **far)


def distances(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """Means over pairs, and the Frechet distance, by the miniature's metric networks."""
    from unpromptable.scoring import frechet, metric_networks
    from unpromptable.scoring.metrics import ssim

    seen = metric_networks.load("miniature")
    whole = [frechet.statistics(seen.features(images).numpy()) for images in (before, after)]
    return {
        "levels": float(np.abs(before.astype(int) - after).mean()),
        "lpips": float(seen.perceptual(before, after).mean()),
        "ssim": float(ssim.similarity(before, after).mean()),
        "fid": frechet.distance(*whole),
    }


if __name__ == "__main__":
    main()

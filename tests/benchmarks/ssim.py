"""SSIM and LPIPS of pairs of pictures of 256 x 256 against torchmetrics'. LPIPS's convolutions have random
weights, the same on both sides.
"""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import paired
import torch
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.functional.image.lpips import _NoTrainLpips

from unpromptable.scoring import metric_networks
from unpromptable.scoring.metrics import ssim

SIZE = 256


def pictures(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth pictures, and the same with some noise, uint8 (n, SIZE, SIZE, 3)."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (n, SIZE // 8, SIZE // 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    return a, np.clip(a + rng.normal(0, 20, a.shape), 0, 255).astype(np.uint8)


def torchmetrics_ssim(a: np.ndarray, b: np.ndarray, batch: int, device: str) -> np.ndarray:
    """The mean over windows inside the picture, (n,)."""
    asked = {"sigma": 1.5, "data_range": 1.0, "reduction": "none", "return_full_image": True}
    found = []
    for i in range(0, len(a), batch):
        one, two = (metric_networks.unit(x[i : i + batch]).to(device) for x in (a, b))
        inside = structural_similarity_index_measure(one, two, **asked)[1][..., 5:-5, 5:-5]
        found.append(inside.mean((1, 2, 3)).cpu().numpy())
    return np.concatenate(found)


def networks(device: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """LPIPS's network as the package builds it, and torchmetrics' with the same weights."""
    import lpips

    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = lpips.LPIPS(net="alex", pnet_rand=True), _NoTrainLpips(net="alex", pnet_rand=True)
    theirs.net.load_state_dict(ours.net.state_dict())
    return ours.eval().to(device), theirs.eval().to(device)


def compare(what: str, ours, theirs, asked, wanted: float | None) -> None:
    """Time both ways, and record by how much their values differ at most."""
    error = float(np.abs(np.asarray(ours()) - np.asarray(theirs())).max())
    found = paired.ratio(ours, theirs, asked.pairs, warm=0, device=asked.device)
    paired.record(asked.out, "ssim", what, found, wanted=wanted, difference=error)


if __name__ == "__main__":
    parser = paired.arguments("SSIM and LPIPS of pictures of 256 x 256.")
    parser.add_argument(
        "--images", type=int, default=256, help="pairs of pictures for SSIM; LPIPS has a quarter"
    )
    given = parser.parse_args()
    a, b = pictures(given.images)
    ours = lambda: ssim.similarity(a, b, given.device)
    compare("SSIM, to torchmetrics'", ours, lambda: torchmetrics_ssim(a, b, 256, given.device), given, 3)
    few, own, theirs = given.images // 4, *networks(given.device)
    at = lambda network: (
        lambda u, v: network(u.to(given.device), v.to(given.device), normalize=True).flatten()
    )
    lpips = lambda network, size: lambda: metric_networks.batched(at(network), a[:few], b[:few], size=size)
    size = metric_networks.BATCH[given.device]
    compare("LPIPS, to torchmetrics' in batches of 64", lpips(own, size), lpips(theirs, 64), given, None)

"""The metric networks of a world: what SSCD, LPIPS and FID see. Images are uint8 (N, H, W, 3) arrays."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unpromptable import equations
from unpromptable.models import device as devices
from unpromptable.planning import pinned
from unpromptable.planning.settings import Networks
from unpromptable.storage import fingerprints

INCEPTION = "pt_inception-2015-12-05-6726825d.pth"
# pictures of a batch of the paper's networks
BATCH = {"cpu": 16, "cuda": 256}
LABELS = {
    "paper": {"sscd": "SSCD (disc_mixup)", "lpips": "LPIPS (AlexNet, v0.1)", "fid": "FID (Inception 2015)"},
    "flags": {
        "sscd": "similarity by our miniature descriptor of flags",
        "lpips": "perceptual distance by our miniature descriptor of flags",
        "fid": "Fréchet distance by our miniature descriptor of flags",
        "classify": "designs named by our miniature descriptor of flags",
    },
    "miniature": {
        "sscd": "similarity by our miniature descriptor",
        "lpips": "perceptual distance by our miniature descriptor",
        "fid": "Fréchet distance by our miniature descriptor",
    },
}


@dataclass(frozen=True)
class MetricNetworks:
    """Three functions and what to call their values."""

    name: str
    descriptor: Callable[[np.ndarray], Tensor]  # unit embeddings (N, D)
    perceptual: Callable[[np.ndarray, np.ndarray], Tensor]  # distance of each pair, (N,)
    features: Callable[[np.ndarray], Tensor]  # Frechet features (N, F)
    # what each picture shows, (N,) integers; none where nothing was trained to tell
    classify: Callable[[np.ndarray], Tensor] | None = None
    weights: str = ""  # identity of those behind `descriptor` and `features`
    device: str = "cpu"  # where they run, and metrics without a network with them

    @property
    def labels(self) -> dict[str, str]:
        """What the values may be called in a table."""
        return LABELS[self.name]


def of(networks: Networks) -> MetricNetworks:
    """The networks that an experiment names. Raises as `load` does."""
    return load(networks.name, networks.folder or None, networks.sscd_sha256)


def load(name: str, folder: str | Path | None = None, pin: str = "") -> MetricNetworks:
    """The networks 'miniature' or 'flags' (shipped) or 'paper' (fetched, or from a weights folder).

    pin: the SHA-256 of SSCD's file, without which the paper's are refused, since that file is a program.
    Raises ValueError for another name, FileNotFoundError or ValueError for missing or wrong weight files.
    """
    if name not in LABELS:
        raise ValueError(f"networks: no {name!r}; choose from {', '.join(LABELS)}")
    return _paper(folder, pin) if name == "paper" else _miniature(name)


def unit(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [0, 1]."""
    return equations.unit(equations.planes(images))


@torch.no_grad()
def batched(function: Callable[..., Tensor], *images: np.ndarray, size: int = 64) -> Tensor:
    """`function` over [0, 1] batches of `size`, concatenated on the CPU."""
    found = torch.cat(
        [function(*(unit(a[i : i + size]) for a in images)).cpu() for i in range(0, len(images[0]), size)]
    )
    if found.is_floating_point() and not found.isfinite().all():
        raise ValueError(
            "networks: a metric network gives values that are not finite; its weights are damaged, so fetch"
            " them again"
        )
    return found


def _miniature(name: str) -> MetricNetworks:
    from unpromptable.miniature import descriptor, flag_descriptor

    ours = flag_descriptor if name == "flags" else descriptor
    network = ours.load()
    classify = (lambda x: batched(network.classify, x)) if name == "flags" else None
    return MetricNetworks(
        name,
        lambda x: batched(network, x),
        lambda a, b: batched(network.distance, a, b),
        lambda x: batched(network.features, x),
        classify,
        fingerprints.of(ours.WEIGHTS, time=False),
    )


def _paper(folder: str | Path | None, pin: str) -> MetricNetworks:
    from unpromptable.models import published

    device = devices.best()
    size = BATCH[device]
    sscd, trunk, inception = (
        network.eval().to(device) for network in (_sscd(folder, pin), _lpips(folder), _inception(folder))
    )
    compared = lambda u, v: trunk(u.to(device), v.to(device), normalize=True).flatten()
    return MetricNetworks(
        "paper",
        lambda x: batched(lambda u: sscd(prepare_sscd(u.to(device))), x, size=size),
        lambda a, b: batched(compared, a, b, size=size),
        lambda x: batched(lambda u: inception(u.to(device))[0].flatten(1), x, size=size),
        weights=fingerprints.digest(
            [fingerprints.of(published.find(name, folder), time=False) for name in (pinned.SSCD, INCEPTION)]
        ),
        device=device,
    )


def prepare_sscd(x: Tensor) -> Tensor:
    """[0, 1] pictures to SSCD's input: short side 288, bilinear with antialias, ImageNet mean and
    deviation.
    """
    scale = 288 / min(x.shape[-2:])
    size = [round(s * scale) for s in x.shape[-2:]]
    x = torch.nn.functional.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
    mean, deviation = (
        torch.tensor(v, device=x.device).view(1, 3, 1, 1)
        for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return (x - mean) / deviation


def _sscd(folder: str | Path | None, pin: str) -> torch.nn.Module:
    from unpromptable.models import published

    path = published.find(pinned.SSCD, folder)
    checked = io.BytesIO(pinned.content(path, pin))
    try:
        return torch.jit.load(checked, map_location="cpu")
    # torch's word for half an archive
    except RuntimeError as error:
        raise ValueError(
            f"{path}: not a TorchScript network ({str(error).splitlines()[0]}); remove it and fetch it again"
        ) from error


def _lpips(folder: str | Path | None) -> torch.nn.Module:
    import contextlib
    import warnings

    import lpips

    from unpromptable.models import published

    # lpips prints, torchvision warns of its argument
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net="alex", pnet_rand=True)
    state = torch.load(
        published.find("alexnet-owt-7be5be79.pth", folder), map_location="cpu", weights_only=True
    )
    names = dict(_trunk_names(network.net))
    network.net.load_state_dict(
        {
            f"{ours}.{part}": state[f"features.{i}.{part}"]
            for i, ours in names.items()
            for part in ("weight", "bias")
        }
    )
    return network


def _trunk_names(trunk: torch.nn.Module) -> list[tuple[str, str]]:
    """torchvision's layer number and lpips' name of every convolution of the trunk: lpips keeps the
    number.
    """
    return [
        (key.split(".")[1], key.rsplit(".", 1)[0]) for key in trunk.state_dict() if key.endswith(".weight")
    ]


def _inception(folder: str | Path | None) -> torch.nn.Module:
    from pytorch_fid import inception

    from unpromptable.models import published

    path = published.find(INCEPTION, folder)
    fetch, inception.load_state_dict_from_url = (
        inception.load_state_dict_from_url,
        lambda *_, **__: torch.load(path, map_location="cpu", weights_only=True),
    )
    try:
        return inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]])
    finally:
        inception.load_state_dict_from_url = fetch

"""The metric networks of a world: what SSCD, LPIPS and FID see. Images are uint8 (N, H, W, 3) arrays."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unpromptable import equations
from unpromptable.models import device as devices
from unpromptable.planning import pinned
from unpromptable.planning.settings import Networks
from unpromptable.storage import fingerprints

from . import onnx_files

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
# what the paper's are called where the experiment takes another form of one
FORMS = {
    "onnx": {"sscd": "SSCD (disc_mixup as int8 ONNX)"},
    "alexnet": {"fid": "Fréchet distance by the last layer of LPIPS's AlexNet, not FID"},
}
SSCD_SIDE = 288  # pixels of the short side
ALEXNET_SIDE = 224


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
    labels: Mapping[str, str] = field(default_factory=dict)  # what the values may be called in a table


def of(networks: Networks) -> MetricNetworks:
    """The networks that an experiment names. Raises as `load` does."""
    return _paper(networks) if networks.name == "paper" else _miniature(networks)


def load(name: str, folder: str | Path | None = None, pin: str = "") -> MetricNetworks:
    """The networks 'miniature' or 'flags' (shipped) or 'paper' (fetched, or from a weights folder).

    pin: the SHA-256 of SSCD's file, without which the paper's are refused, since that file is a program.
    Raises ValueError for another name, FileNotFoundError or ValueError for missing or wrong weight files.
    """
    if name not in LABELS:
        raise ValueError(f"networks: no {name!r}; choose from {', '.join(LABELS)}")
    return of(Networks(name, str(folder or ""), pin))


def labels(networks: Networks) -> dict[str, str]:
    """What the values of an experiment's networks may be called in a table."""
    forms = (networks.sscd, networks.features) if networks.name == "paper" else ()
    told = dict(LABELS[networks.name])
    for form in forms:
        told |= FORMS.get(form, {})
    return told


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


def _miniature(networks: Networks) -> MetricNetworks:
    from unpromptable.miniature import descriptor, flag_descriptor

    name = networks.name
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
        labels=labels(networks),
    )


def _paper(networks: Networks) -> MetricNetworks:
    device, folder = devices.best(), networks.folder or None
    size = BATCH[device]
    described = {"torchscript": _sscd_program, "onnx": _sscd_onnx}[networks.sscd](networks, device)
    trunk = _lpips(folder).eval().to(device)
    features, seen = {"inception": _by_inception, "alexnet": _by_alexnet}[networks.features](
        folder, trunk, device
    )
    compared = lambda u, v: trunk(u.to(device), v.to(device), normalize=True).flatten()
    return MetricNetworks(
        "paper",
        lambda x: batched(described, x, size=size),
        lambda a, b: batched(compared, a, b, size=size),
        lambda x: batched(features, x, size=size),
        weights=fingerprints.digest(
            [fingerprints.of(path, time=False) for path in (_sscd_file(networks), seen)]
        ),
        device=device,
        labels=labels(networks),
    )


def _sscd_file(networks: Networks) -> Path:
    from unpromptable.models import published

    name = {"torchscript": pinned.SSCD, "onnx": pinned.SSCD_ONNX}[networks.sscd]
    return published.find(name, networks.folder or None)


def _sscd_program(networks: Networks, device: str) -> Callable[[Tensor], Tensor]:
    program = _sscd(_sscd_file(networks), networks.sscd_sha256).eval().to(device)
    return lambda u: program(prepare_sscd(u.to(device)))


def _sscd_onnx(networks: Networks, device: str) -> Callable[[Tensor], Tensor]:
    """The ONNX form takes levels, and knows mean and deviation itself."""
    network = onnx_files.load(_sscd_file(networks), "networks.folder", onnx_files.Input(size=SSCD_SIDE))
    return lambda u: torch.from_numpy(network.run(255 * short_side(u, SSCD_SIDE)))


def _by_inception(folder: str | Path | None, trunk: torch.nn.Module, device: str):
    """Inception's features of [0, 1] pictures, (N, 2048), and the file that they are of."""
    from unpromptable.models import published

    inception = _inception(folder).eval().to(device)
    return (lambda u: inception(u.to(device))[0].flatten(1)), published.find(INCEPTION, folder)


def _by_alexnet(folder: str | Path | None, trunk: torch.nn.Module, device: str):
    """Means of AlexNet's last layer of [0, 1] pictures, (N, 256), and the file that they are of."""

    def features(u: Tensor) -> Tensor:
        shown = resized(u.to(device), [ALEXNET_SIDE, ALEXNET_SIDE])
        return trunk.net(trunk.scaling_layer(2 * shown - 1)).relu5.mean((2, 3))

    return features, _alexnet_file(folder)


def short_side(x: Tensor, side: int) -> Tensor:
    """Pictures (N, 3, H, W) with their short side at so many pixels, bilinear with antialias."""
    scale = side / min(x.shape[-2:])
    return resized(x, [round(s * scale) for s in x.shape[-2:]])


def resized(x: Tensor, size: list[int]) -> Tensor:
    """Pictures (N, 3, H, W) at another height and width, bilinear with antialias."""
    return torch.nn.functional.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)


def prepare_sscd(x: Tensor) -> Tensor:
    """[0, 1] pictures to SSCD's input: short side 288, bilinear with antialias, ImageNet mean and
    deviation.
    """
    x = short_side(x, SSCD_SIDE)
    mean, deviation = (
        torch.tensor(v, device=x.device).view(1, 3, 1, 1)
        for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return (x - mean) / deviation


def _sscd(path: Path, pin: str) -> torch.nn.Module:
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

    # lpips prints, torchvision warns of its argument
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net="alex", pnet_rand=True)
    state = _alexnet(_alexnet_file(folder))
    names = dict(_trunk_names(network.net))
    network.net.load_state_dict(
        {
            f"{ours}.{part}": state[f"features.{i}.{part}"]
            for i, ours in names.items()
            for part in ("weight", "bias")
        }
    )
    return network


def _alexnet_file(folder: str | Path | None) -> Path:
    """AlexNet's convolutions out of a package where `folder` has them, else torchvision's file."""
    from unpromptable.models import published

    made = folder and Path(folder, published.TRUNK).is_file()
    instead = f"or put {published.TRUNK} there by python -m unpromptable.models.registries"
    return published.find(published.TRUNK if made else published.ALEXNET, folder, instead=instead)


def _alexnet(path: Path) -> dict[str, Tensor]:
    """Its weights by torchvision's names."""
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


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

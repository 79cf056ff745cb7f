"""Ed25519 signatures of a release: a key of the operator's own, and what was signed checked offline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def create(private: Path) -> Path:
    """A new key pair: the private key at `private`, for its owner alone, and beside it the public one; its
    path.

    Raises ValueError where either is there already: releases depend on it.
    """
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = beside(private)
    for there in (private, public):
        if there.exists() or there.is_symlink():
            raise ValueError(
                f"{there}: a key is there already; choose another name, since releases depend on it"
            )
    key = Ed25519PrivateKey.generate()
    private.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    with open(public, "xb") as file:
        file.write(key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))
    return public


def beside(private: Path) -> Path:
    """Where the public key of a private one lies: `a.pub` of `a` and `a.key`, `a.2026.pub` of `a.2026`."""
    return private.with_name(f"{private.name.removesuffix('.key') or private.name}.pub")


def private(path: Path) -> Any:
    """The private key in a file. Raises FileNotFoundError or ValueError where it holds none."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return _key(path, lambda content: load_pem_private_key(content, None), "private")


def public(path: Path) -> Any:
    """The public key in a file. Raises FileNotFoundError or ValueError where it holds none."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return _key(path, load_pem_public_key, "public")


def _key(path: Path, load: Any, which: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ed25519

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such key; make a pair with `unpromptable key {path}`")
    try:
        key = load(path.read_bytes())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path}: not a {which} key that can be read ({error})") from error
    wanted = ed25519.Ed25519PrivateKey if which == "private" else ed25519.Ed25519PublicKey
    if not isinstance(key, wanted):
        raise ValueError(f"{path}: not an Ed25519 {which} key; make a pair with `unpromptable key`")
    return key


def holds(key: Any, signature: bytes, content: bytes) -> bool:
    """Whether the signature is this key's of this content."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True

"""The certificate of a release: hashes of all that it rests on, every gate with its numbers, and a signature.

It names no picture and holds none, so that it still verifies when the pictures are gone.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unpromptable.planning.code import whole
from unpromptable.reporting.row import Row
from unpromptable.storage import fingerprints, records

from . import gates, signing
from .base import Base
from .request import Request

FILE, SIGNATURE, MODEL = "certificate.json", "certificate.sig", "model"
PAGE, REVIEW = "certificate.html", "review.json"  # the same for people; what a person decided of it
BESIDE = (FILE, SIGNATURE, PAGE, REVIEW)  # all that may lie in a release's folder beside the model
# settings whose text is certified: words of which there are a few, and no paths, prompts or names of pictures
WORDS = (
    *("world", "method", "method.projection", "method.remember", "editor", "model.name", "model.revision"),
    *("networks.name", "networks.sscd", "networks.sscd_sha256", "networks.features"),
    *("sampling.sampler", "sampling.precision", "sampling.when", "sampling.stop"),
    *("training.betas", "training.reduction", "training.timesteps", "training.precision"),
)
NUMBER = re.compile(r"\w+(/\d+)?(?= |$)")  # of a row, up to the name of what it is of: `lookalikes_sscd/00`
INJECTED = "/injected/"  # in the name of what was read, before a target's
RELEASED, REFUSED, NOTHING = "released", "refused", "nothing to forget"
Attempts = dict[str, list[gates.Finding]]
PACKAGES = ("torch", "diffusers", "transformers", "peft", "numpy", "unpromptable")


def content(
    asked: Request,
    digest: str,
    base: Base,
    row: Row | None,
    attempts: Attempts,
    model: Path,
    series: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What is certified, as plain values. digest: SHA-256 of the request's file; row: the best attempt's,
    None where nothing had to be forgotten; model: the folder that is released; series: what it is a version
    of, and what became of earlier requests.
    """
    judged = attempts[row.name] if row else []
    return {
        "version": 1,
        "request": {"name": asked.name, "due": asked.due, "sha256": digest},
        "outcome": outcome(judged),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "base": {
            "ceilings": [asdict(e) for e in base.ceilings],
            "kept": [asdict(e) for e in base.kept],
            "unrelated": base.unrelated,
            "copies": base.copies,
            "test": base.test,
        },
        "gates": gates.told(judged),
        "attempts": {name: gates.told(found) for name, found in attempts.items()},
        "code": whole(),
        "packages": {name: version(name) for name in PACKAGES},
        "model": digests(model),
        **(_attempt(row) if row else _untried(base)),
        **({"series": series} if series else {}),
    }


def outcome(judged: list[gates.Finding]) -> str:
    """What a request came to."""
    if not judged:
        return NOTHING
    return RELEASED if all(f.holds for f in judged) else REFUSED


def _untried(base: Base) -> dict[str, Any]:
    """What the certificate rests on where nothing was tried: the targets that were tested."""
    inputs = {f"data/target {number}": digest for number, digest in enumerate(base.targets, 1)}
    return {"attempt": "", "settings": {}, "inputs": inputs, "numbers": {}, "labels": {}}


def _attempt(row: Row) -> dict[str, Any]:
    """What the best attempt rests on."""
    return {
        "attempt": row.name,
        "settings": {k: v for k, v in row.settings.items() if not isinstance(v, str) or k in WORDS},
        "inputs": _numbered(row.inputs),
        "numbers": {m[0]: mean for key, mean in row.means().items() if (m := NUMBER.match(key))},
        "labels": row.labels,
    }


def _numbered(inputs: dict[str, str]) -> dict[str, str]:
    """The digests of what was read, with a target's number in the place of its name."""
    named = sorted({key.partition(INJECTED)[2] for key in inputs if INJECTED in key})

    def plain(key: str) -> str:
        artifact, found, target = key.partition(INJECTED)
        return f"{artifact}{found}target {named.index(target) + 1}" if found else key

    return dict(sorted((plain(key), value) for key, value in inputs.items()))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path in it; a link is followed to no folder."""
    files = sorted(p for p in _below(folder) if p.is_file())
    return {p.relative_to(folder).as_posix(): fingerprints.sha256(p) for p in files}


def _below(folder: Path) -> list[Path]:
    """Everything below a folder, nothing of none: an object store keeps no empty one. Raises OSError for a
    folder in it that cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    found = os.walk(folder, onerror=refuse) if folder.is_dir() else ()
    return [Path(root) / name for root, folders, files in found for name in (*folders, *files)]


def identity(folder: Path) -> str:
    """One digest of all files of the model of a release."""
    return fingerprints.digest(digests(folder / MODEL))


def read(folder: Path) -> dict[str, Any]:
    """The certificate in a release's folder. Raises FileNotFoundError or ValueError where there is none."""
    return records.read(_there(folder), dict, model=dict, request=dict, gates=list)


def _there(folder: Path) -> Path:
    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no certificate; give the folder that a hotfix released")
    return path


def write(folder: Path, told: dict[str, Any], key: Path | None) -> None:
    """Write the certificate into a release's folder, and its signature where there is a key."""
    text = json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False).encode()
    (folder / FILE).write_bytes(text)
    if key:
        sign(folder, key)


def sign(folder: Path, key: Path) -> None:
    """Sign the certificate that is there. Raises FileNotFoundError or ValueError for a wrong key."""
    (folder / SIGNATURE).write_bytes(signing.private(key).sign((folder / FILE).read_bytes()))


def verify(folder: Path, key: Path | None, request: Path | None = None) -> list[str]:
    """What is wrong with a release, a line each; none where it is as it was certified.

    key: the operator's public key; without one the files alone are compared. request: the request's file,
    if it is to be the one that was answered. Raises FileNotFoundError or ValueError where there is no
    certificate.
    """
    path = _there(folder)
    text = path.read_bytes()
    wrong = _signature(folder, key, text)
    try:
        told = json.loads(text)
        certified, wanted = dict(told["model"]), str(told["request"]["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a certificate that can be read ({type(error).__name__})") from error
    wrong += _page(folder, told)
    there = digests(folder / MODEL)
    wrong += [f"{MODEL}/{n}: changed" for n in certified if n in there and there[n] != certified[n]]
    wrong += [f"{MODEL}/{n}: missing" for n in certified if n not in there]
    wrong += [f"{MODEL}/{n}: not certified" for n in there if n not in certified]
    wrong += _strange(folder)
    if request and fingerprints.sha256(request) != wanted:
        wrong.append(f"{request}: not the request that was answered")
    return wrong


def _strange(folder: Path) -> list[str]:
    """What lies in a release's folder that is neither the model's nor of the certificate, and what is no file
    of its own: what a link leads to may change.
    """
    more = sorted(p.name for p in folder.iterdir() if p.name not in (*BESIDE, MODEL))
    odd = sorted(p for p in _below(folder) if p.is_symlink() or not (p.is_file() or p.is_dir()))
    names = [p.relative_to(folder).as_posix() for p in odd]
    return [f"{n}: not certified" for n in more] + [f"{n}: a link or no plain file" for n in names]


def _page(folder: Path, told: dict[str, Any]) -> list[str]:
    """What is wrong with the page that people read."""
    page, certified = folder / PAGE, told.get("page")
    if not page.is_file():
        return [f"{PAGE}: missing"]
    return [] if fingerprints.sha256(page) == certified else [f"{PAGE}: changed"]


def _signature(folder: Path, key: Path | None, text: bytes) -> list[str]:
    if not key:
        return []
    signature = folder / SIGNATURE
    if not signature.is_file():
        return [f"{SIGNATURE}: missing, so nothing says who certified it"]
    good = signing.holds(signing.public(key), signature.read_bytes(), text)
    return [] if good else [f"{FILE}: changed since it was signed, or signed with another key"]

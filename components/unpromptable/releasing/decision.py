"""What a person decides about a release: approved, with the certificate that was seen, or rejected."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unpromptable.storage import files, fingerprints

from . import certificate

FILE = certificate.REVIEW
APPROVED, REJECTED = "approved", "rejected"


def approve(release: Path, public: Path | None) -> Path:
    """Mark a release as approved, beside its certificate; the file that says so.

    public: the operator's public key, with which the signature is checked too. Raises ValueError where
    nothing was released, or it is not as it was certified.
    """
    wrong = certificate.verify(release, public)
    if json.loads((release / certificate.FILE).read_bytes())["outcome"] != certificate.RELEASED:
        raise ValueError(f"{release}: it holds no model, so there is nothing to approve")
    if wrong:
        raise ValueError(f"{release}: not as it was certified ({wrong[0]}); nothing was approved")
    return _write(release / FILE, APPROVED, release)


def reject(release: Path) -> Path:
    """Remove a release; the file that says so, in the folder where the release was.

    Raises FileNotFoundError where there is none.
    """
    if not (release / certificate.FILE).is_file():
        raise FileNotFoundError(f"{release}: no release; there is nothing to reject")
    said = _write(release.with_name(FILE), REJECTED, release)
    shutil.rmtree(release)
    return said


def read(folder: Path) -> dict[str, Any] | None:
    """What was decided of the release in a request's folder; None where nothing was yet."""
    for place in (folder / "release" / FILE, folder / FILE):
        if place.is_file():
            return dict(json.loads(place.read_bytes()))
    return None


def _write(path: Path, decision: str, release: Path) -> Path:
    told = {
        "decision": decision,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "certificate": fingerprints.sha256(release / certificate.FILE),
    }
    with files.replacing(path) as temporary:
        temporary.write_text(json.dumps(told, indent=1))
    return path

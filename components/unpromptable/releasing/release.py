"""A release's folder: the model, its card, and the certificate as a signed file and as a page."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from unpromptable.models import nameless
from unpromptable.reporting.reports import html
from unpromptable.reporting.row import WEIGHTS, Row
from unpromptable.storage import files, fingerprints, inventory

from . import certificate, gates
from .base import Base
from .request import Request

PAGE, CARD = certificate.PAGE, "README.md"
LEFT_OUT = ("training.json",)  # of the run, no part of a model


def write(
    folder: Path,
    asked: Request,
    digest: str,
    run: Path,
    base: Base,
    row: Row | None,
    attempts: certificate.Attempts,
    key: Path | None = None,
    series: dict[str, Any] | None = None,
) -> str:
    """Put together what a request came to, in `folder`; the certificate's word for that.

    A model that fails a gate stays in the run's folder: its certificate says why, and nothing is released. A
    folder that is there is replaced as a whole. digest: SHA-256 of the request's file; run: the store; row:
    the best attempt's, None where there was none; series: what the certificate says of it.

    Raises ValueError where the model that is to be released is not the one that was judged.
    """
    judged = None
    if row and certificate.outcome(attempts[row.name]) == certificate.RELEASED:
        judged = _judged(run, row)
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    model = fresh / certificate.MODEL
    model.mkdir(parents=True)
    if row and judged:
        shutil.copytree(judged, model, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)
        nameless.strip(model)
        _card(asked, row, attempts[row.name]).save(model / CARD)
    told = certificate.content(asked, digest, base, row, attempts, model, series)
    page = html.template("certificate").render(told=told, means=gates.means, side=gates.side)
    (fresh / PAGE).write_text(page, encoding="utf-8")
    certificate.write(fresh, {**told, "page": fingerprints.sha256(fresh / PAGE)}, key)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return told["outcome"]


def _judged(run: Path, row: Row) -> Path:
    """The model of an attempt. Raises ValueError where it is not the one that the row's numbers are of."""
    model = run / row.folder / "unlearned"
    if inventory.whole(model) and row.inputs.get(WEIGHTS) in (None, fingerprints.weights(model)):
        return model
    raise ValueError(
        f"{files.address(model)}: not the model that attempt {row.name} was judged by (damaged, or another"
        f" since); remove {files.address(model.parent)}, so that the attempt is made again"
    )


def _card(asked: Request, row: Row, findings: list[gates.Finding]):
    """The model's card, as the hub shows it."""
    from huggingface_hub import ModelCard, ModelCardData

    base = asked.model if not Path(asked.model).is_absolute() else None
    data = ModelCardData(library_name="diffusers", tags=["unlearning"], base_model=base)
    labels = "; ".join(f"{name}: {label}" for name, label in row.labels.items())
    lines = [f"| {f.metric} | {f.bound:.3f} | {f.mean:.3f} | {f.value:.3f} |" for f in findings]
    parts = [
        f"---\n{data.to_yaml()}\n---\n\n# {asked.name}",
        "This model is its base model after unlearning: pictures that it must not produce again were"
        f" forgotten by the method `{row.method}`, with surrogates by the editor `{row.editor}`. Which"
        " pictures these were is not said here.",
        "\n".join(["| gate | bound | mean | worse end of its interval |", "|---|---:|---:|---:|", *lines]),
        f"{labels}. Fine-tuning on other pictures of the same person can bring them back.",
        "The certificate that came with this folder lists what was measured, and the hashes of these files.",
    ]
    return ModelCard("\n\n".join(parts) + "\n")

"""One row per cell: its settings as flat keys, its numbers, or what failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unpromptable.storage import attempts, once, store

UNFINISHED = "did not finish"  # the error of a cell that neither ended nor failed


def flat(spec: dict[str, Any]) -> dict[str, Any]:
    """A cell's settings as dotted keys, what the report and MLflow show; `slug` is the cell's identity."""
    out: dict[str, Any] = {"slug": slug(spec), "name": spec["name"], "key": spec["key"]}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, path if key == "settings" else f"{path}.{key}".strip("."))
        else:
            out[path] = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value

    common = {
        k: v
        for k, v in spec["experiment"].items()
        if k in ("world", "model", "sampling", "injection", "networks", "real")
    }
    cell = spec["cell"]
    walk({**common, **{k: cell[k] for k in ("training", "forget")}}, "")
    for kind in ("method", "editor"):
        out[kind] = cell[kind]["name"]
        walk(cell[kind]["settings"], kind)
    return out


def slug(spec: dict[str, Any]) -> str:
    """The readable part of a cell's folder."""
    return Path(spec["folder"]).name.rsplit("-", 1)[0]


def scalars(row: dict[str, Any]) -> dict[str, float]:
    """The means of a row's metrics, for tables that hold one number per name."""
    return {k: v["mean"] for k, v in row.items() if isinstance(v, dict) and "mean" in v}


def collect(where: str, folder: str = "") -> list[dict[str, Any]]:
    """A row per planned cell, or of the one in this folder, in the experiment's order, failed and missing
    ones included.
    """
    target = store.fetch(Path(where) / "experiment.json")
    specs = json.loads(target.read_text())["cells"] if target.is_file() else []
    found = []
    for spec in specs:
        if folder and Path(spec["folder"]).name != folder:
            continue
        path = store.place(where, spec, "row.json")
        found.append(
            _finished(json.loads(path.read_text()), spec)
            if store.finished(path, spec["row_key"])
            else failed(spec, where)
        )
    return found


def _finished(row: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """A row with what the present experiment says of its cell: a group may be renamed without measuring
    anew.
    """
    told = head(spec)
    return {**row, **told, "run_id": told["run_id"] or row.get("run_id")}


def failed(spec: dict[str, Any], where: str) -> dict[str, Any]:
    """The row of a cell that has no result."""
    note, shared = store.fetch(store.place(where, spec, "failed.json")), once.failure(where)
    waits = {"step": "", "error": f"did not run, since {shared['step']} failed" if shared else UNFINISHED}
    error = json.loads(note.read_text()) if note.is_file() else waits
    text = f"{error['step']}: {error['error']}".strip(": ")
    return {
        **head(spec),
        "status": "failed",
        "error": text,
        **tries(spec, where),
        **{m["name"]: None for m in spec["experiment"]["metrics"]},
    }


def tries(spec: dict[str, Any], where: str) -> dict[str, list[str]]:
    """`again`: the attempts at the cell's steps that the machine failed; nothing where none did."""
    told = attempts.notes(store.place(where, spec, ""))
    return {"again": told} if told else {}


def head(spec: dict[str, Any]) -> dict[str, Any]:
    """What every row says of its cell, with or without a result."""
    settings = {k: v for k, v in flat(spec).items() if k not in ("slug", "name", "key")}
    return {
        "name": spec["name"],
        "group": spec["cell"].get("group", ""),
        "cell": slug(spec),
        "folder": spec["folder"],
        "method": spec["cell"]["method"]["name"],
        "editor": spec["cell"]["editor"]["name"],
        "networks": spec["experiment"]["networks"]["name"],
        "settings": settings,
        "run_id": spec.get("run_id"),
    }

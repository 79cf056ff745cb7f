"""report.html: one self-contained page to send to a colleague."""
from __future__ import annotations

import base64
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from .. import figures, store as storing, tables

MORE = (("sscd_ceiling", "target, before"), ("sscd_target", "target, after"), ("sscd_surrogate", "surrogate, after"), ("fid_real_floor", "FID_real of the base model"))


def write(store: Path, experiment: dict[str, Any], rows: list[dict[str, Any]], state: str) -> Path:
    """Write the page of a whole run into its folder."""
    path = store / "report.html"
    storing.write_text(path, render(store, experiment, rows, state, store / "figures"))
    return path


def render(store: Path, experiment: dict[str, Any], rows: list[dict[str, Any]], state: str, folder: Path) -> str:
    """The page of these rows; plots are also left in `folder` as PNG."""
    import jinja2

    text = (resources.files("unpromptable") / "reports" / "templates" / "report.html.j2").read_text()
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(text)
    done = figures.finished(rows)
    curves = figures.curves_plot(store, rows, folder) if rows else None
    return page.render(
        experiment=experiment, rows=rows, done=done, state=state, verdict=tables.verdict(rows), columns=tables.COLUMNS, more=[(k, t) for k, t in MORE if any(r.get(k) for r in done)],
        show=tables.show, cells={r["name"]: tables.cells(r, rows) for r in done}, differing=tables.differing(rows), paper={p["name"]: p for p in experiment.get("paper") or []},
        plots=[_file(figures.forgetting_plot(folder, rows)), _file(figures.tradeoff_plot(folder, rows))] if done else [], curves=_file(curves) if curves else None,
        samples=[(name, [_uri(i) for i in images]) for name, images in figures.samples_grid(store, rows)] if done else [],
        injected=[{**t, "image": _uri(t["image"]), "lines": [(n, None if s is None else _uri(s), [_uri(i) for i in d]) for n, s, d in t["lines"]]} for t in figures.injected_grid(store, rows)] if done else [],
        labels=done[0]["labels"] if done else {}, n=done[0]["lpips"]["n"] if done else 0)


def _uri(image: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(figures.png(image)).decode()


def _file(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()

"""report.html: one self-contained page to send to a colleague."""
from __future__ import annotations

import base64
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from .. import figures, groups, pareto, store as storing, tables

MORE = (("sscd_ceiling", "target, before"), ("sscd_target", "target, after"), ("sscd_surrogate", "surrogate, after"), ("fid_real_floor", "FID_real of the base model"))


def write(store: Path, experiment: dict[str, Any], rows: list[dict[str, Any]], state: str) -> Path:
    """Write the page of a whole run into its folder."""
    path = store / "report.html"
    storing.write_text(path, render(store, experiment, rows, state, store / "figures"))
    return path


def render(store: Path, experiment: dict[str, Any], rows: list[dict[str, Any]], state: str, folder: Path) -> str:
    """The page of these rows, one line per group; plots are also left in `folder` as PNG."""
    import jinja2

    text = (resources.files("unpromptable") / "reports" / "templates" / "report.html.j2").read_text()
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(text)
    done, lines = figures.finished(rows), groups.collect(rows, experiment.get("paper") or [])
    return page.render(
        experiment=experiment, rows=rows, done=done, lines=lines, grouped=groups.grouped(lines), state=state, verdict=tables.verdict(lines), columns=tables.COLUMNS,
        more=[(k, t) for k, t in MORE if any(r.get(k) for r in done)], show=tables.show, cells=tables.cells, differing=tables.differing(rows), doubts=tables.doubts(done),
        labels=done[0]["labels"] if done else {}, n=done[0]["lpips"]["n"] if done else 0, **_pictures(store, done, rows, lines, folder))


def _pictures(store: Path, done: list[dict[str, Any]], rows: list[dict[str, Any]], lines: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    curves = figures.curves_plot(store, rows, lines, folder) if rows else None
    shown = {"curves": _file(curves) if curves else None, "plots": [], "comparison": [], "surrogates": {"columns": [], "targets": []}}
    if done:
        shown["plots"] = [_file(figures.forgetting_plot(folder, lines)), _file(pareto.plot(folder, lines))]
        shown["comparison"] = _embed(figures.comparison(store, rows, lines))
        shown["surrogates"] = _embed(figures.surrogates(store, rows, lines))
    return shown


def _embed(value: Any) -> Any:
    """The same structure with every picture (H, W, 3), or row of them, as text that a page can hold."""
    if isinstance(value, np.ndarray):
        return _uri(value) if value.ndim == 3 else [_uri(v) for v in value]
    if isinstance(value, dict):
        return {k: _embed(v) for k, v in value.items()}
    return [_embed(v) for v in value] if isinstance(value, list) else value


def _uri(image: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(figures.png(image)).decode()


def _file(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()

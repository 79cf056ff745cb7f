"""prompted.md and its grid: how often a prompted model was wrong before and after, what it kept, and what was
screened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpromptable import data, protocols
from unpromptable.planning.experiment import Experiment
from unpromptable.reporting import figures, pictures
from unpromptable.reporting.row import Row
from unpromptable.reporting.tables import show
from unpromptable.reporting.veil import veiled
from unpromptable.scoring import metric_networks
from unpromptable.scoring.estimates import Estimate, part
from unpromptable.scoring.metrics.lpips_kept import PROMPTS
from unpromptable.scoring.metrics.wrong import verdicts
from unpromptable.storage import files

from .markdown import words

SEEDS, OTHERS, SCREENED = 6, 12, 24  # columns of each kind
SHARES = ("wrong", "right")
COLUMNS = (
    ("wrong", "wrong ↓"),
    ("right", "right ↑"),
    ("lpips_kept", "LPIPS, this prompt ↓"),
    ("ssim_kept", "SSIM, this prompt ↑"),
    ("fid_kept", "FID, this prompt ↓"),
    ("lpips_others", "LPIPS, other prompts ↓"),
    ("ssim_others", "SSIM, other prompts ↑"),
    ("fid_others", "FID, other prompts ↓"),
)


@dataclass(frozen=True)
class Report(protocols.Report):
    """The table and the grid of a prompted model."""

    def write(self, store: Path, experiment: Experiment, rows: Sequence[Row], state: str) -> Path | None:
        """Write both; nothing for models without a prompt."""
        done = figures.finished(rows)
        if not experiment.prompt or not done:
            return None
        picture(store, experiment, done)
        path = store / "prompted.md"
        files.write_text(path, page(experiment, done))
        return path


def page(experiment: Experiment, done: Sequence[Row]) -> str:
    """The text about the finished rows, which links the grid."""
    lines = [*_head(experiment, done[0]), "", *_markdown(*table(done)), *_taught(experiment)]
    lines += ["", *_foot(experiment, done[0])]
    single = prompts(experiment, done)
    if single:
        lines += ["", "LPIPS of each other prompt, the most changed first:", "", *_markdown(*single)]
    return "\n".join(lines) + "\n"


def _head(experiment: Experiment, before: Row) -> list[str]:
    """The title, and how often the model was wrong before."""
    wrong, right = (before.value(k) for k in ("wrong_before", "right_before"))
    return [
        f"# {words(experiment.title or experiment.name)}: {words(repr(experiment.prompt))}",
        "",
        f"Before: wrong {share(wrong)}, right {share(right)}, over {before.value('wrong').n} seeds. Shares"
        " with Wilson's 95 % interval; the rest is mean ± half the 95 % interval.",
    ]


def _taught(experiment: Experiment) -> list[str]:
    """The other prompts whose outputs were remembered, if any."""
    taught = experiment.remember.prompts
    said = "Outputs of these prompts were remembered too, by the methods with `training.others`:"
    return ["", f"{said} {words(', '.join(taught))}."] if taught else []


def _foot(experiment: Experiment, before: Row) -> list[str]:
    """What was drawn by which prompts, and the grid."""
    others = words(", ".join(experiment.other_prompts)) or "none"
    return [
        f"This prompt: the seeds that were not wrong before (n = {before.value('lpips_kept').n}). Other"
        f" prompts: {others}. {'; '.join(before.labels.values())}.",
        "",
        f"![{_described(experiment.report.pictures)}](figures/prompted.png)",
    ]


def _described(how: str) -> str:
    """What the grid shows, in words."""
    rows, columns = "rows: before, then each method", "seeds that were right, other prompts"
    if how == "omit":
        return f"{rows}; columns: {columns}; what shows a target is left out"
    last = "last row: target and screened remember images"
    blurred = "; what shows a target is blurred" if how == "blur" else ""
    return f"{rows}; columns: seeds that were wrong, {columns}; {last}{blurred}"


def table(done: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Titles and, per finished row, its name and texts."""
    columns = [c for c in COLUMNS if c[0] in done[0].metrics]
    return ["Method", *(t for _, t in columns)], [
        [r.name, *(share(r.value(k)) if k in SHARES else show(r.metrics[k]) for k, _ in columns)]
        for r in done
    ]


def prompts(experiment: Experiment, done: Sequence[Row]) -> tuple[list[str], list[list[str]]] | None:
    """Titles and, per other prompt, its name and each finished row's LPIPS, the largest of any row first;
    None without other prompts.
    """
    asked = [(p, part(PROMPTS, k, p)) for k, p in enumerate(experiment.other_prompts)]
    found = [(p, [r.metrics.get(metric) for r in done]) for p, metric in asked]
    found = sorted((f for f in found if any(f[1])), key=lambda f: -max(v.mean for v in f[1] if v))
    if not found:
        return None
    return ["Prompt", *(r.name for r in done)], [[p, *map(show, values)] for p, values in found]


def _markdown(titles: list[str], cells: list[list[str]]) -> list[str]:
    titles, cells = [*map(words, titles)], [[*map(words, line)] for line in cells]
    return [
        "| " + " | ".join(titles) + " |",
        "|---|" + "---:|" * (len(titles) - 1),
        *("| " + " | ".join(line) + " |" for line in cells),
    ]


def picture(store: Path, experiment: Experiment, done: Sequence[Row]) -> Path:
    """figures/prompted.png, the grid."""
    path = store / "figures" / "prompted.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pictures.png(grid(store, experiment, done)))
    return path


def share(value: Estimate) -> str:
    """A share in percent with its interval."""
    return f"{value.mean:.1%} ({value.low:.1%} to {value.high:.1%})"


def grid(store: Path, experiment: Experiment, rows: Sequence[Row]) -> np.ndarray:
    """The strips beneath each other, one picture."""
    parts = [part for _, part in strips(store, experiment, rows)]
    width = max(part.shape[1] for part in parts)
    return np.concatenate(
        [np.pad(part, ((0, 2), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in parts]
    )


def strips(store: Path, experiment: Experiment, rows: Sequence[Row]) -> list[tuple[str, np.ndarray]]:
    """Names and pictures side by side: before and each cell on the same seeds, then the targets and the
    outputs screened from the remember set.

    Seeds that were wrong show a target, and are veiled or left out as the targets are.
    """
    how = experiment.report.pictures
    arrays, _ = data.load(store / "shared" / "data.safetensors")
    before, _ = data.load(store / "shared" / "before.safetensors")
    networks = metric_networks.of(experiment.networks)
    wrong, _ = verdicts(
        before["samples"],
        Shown(dict(enumerate(arrays["forget"])), data.remember(arrays, {"removed": [], "names": []})),
        networks,
    )
    seeds = np.flatnonzero(wrong)[:SEEDS], np.flatnonzero(~wrong)[:SEEDS]
    made = [
        ("before", before),
        *((r.name, data.load(store / r.folder / "after.safetensors")[0]) for r in rows),
    ]
    lines = [(name, _line(images, *seeds, how)) for name, images in made]
    last = np.concatenate([arrays["forget"], arrays.get("screened", arrays["forget"][:0])[:SCREENED]])
    seen = veiled(last, how)
    if seen is None:
        return lines
    return [*lines, ("target, screened", pictures.strip(seen)[:, : lines[0][1].shape[1]])]


class Shown:
    """What `verdicts` looks at."""

    def __init__(self, forget: dict[int, np.ndarray], remember: np.ndarray):
        self.forget, self.remember = forget, remember


def _line(images: dict[str, np.ndarray], wrong: np.ndarray, right: np.ndarray, how: str) -> np.ndarray:
    """Outputs of these seeds and of other prompts, one picture (H, W, 3); white where none may be seen."""
    samples = images["samples"]
    seen = veiled(samples[wrong], how)
    parts = [samples[:0] if seen is None else seen, samples[right]]
    shown = np.concatenate([*parts, images.get("others", samples[:0])[:OTHERS]])
    return pictures.strip(shown if len(shown) else np.full_like(samples[:1], 255))

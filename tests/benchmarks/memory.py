"""The peak memory of every step at the paper's sizes, each in a process of its own, beside its pod's request.

Pictures are noise that repeats, networks stand-ins with outputs as long as the paper's: what is measured is
what a step holds of its pictures, and of what the metrics make of them. Anonymous memory is what a container
cannot give back; the pages of files that are mapped count in the peak, and the kernel drops them when it
needs room.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "components")]

SIDE, KINDS, CELLS, PAIRS = 256, 50, 4, 1024  # pixels, different pictures, cells, pairs for SSIM
STEPS = ("plan", "prepare", "edit", "unlearn", "sample", "gather", "score", "page", "report")
LIGHT = ("plan", "report")  # their processes load no networks
HEAVY = "8Gi"  # of the pipeline's argument `memory`
LOOK = 0.01  # seconds between two looks at a process
TEXT = """
name: memory
real: {real}
forget: [target.png]
model: {{name: ddpm, source: {model}}}
networks: {{name: miniature}}
metrics: [sscd, lpips, ssim, fid_pre, fid_real, nearest]
sampling: {{images: {images}, steps: 1, batch: 8, shards: 8}}
injection: {{t: 2, draws: 8}}
base: {{editor: flip, training: {{steps: 2, batch: 8, micro_batch: 1}}}}
cells: [{cells}]
"""


def main() -> None:
    """Measure the steps that are asked for, one after another, or run one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000, help="that each model draws")
    parser.add_argument("--real", type=int, default=30_000, help="real images")
    parser.add_argument("--folder", type=Path, default=Path("runs/memory"), help="20 GB, removed at the end")
    parser.add_argument("--until", choices=STEPS, default=STEPS[-1], help="the last step to measure")
    parser.add_argument("--only", help="run this step or preparation here, in a folder that is there")
    asked = parser.parse_args()
    folder = asked.folder.absolute()
    if asked.only:
        return work(asked.only, folder)
    folder.mkdir(parents=True)
    try:
        begin(folder, asked.images, asked.real)
        rows = [measured(step, folder) for step in ("imports", *STEPS[: STEPS.index(asked.until) + 1])]
    finally:
        shutil.rmtree(folder)
    print(table(rows))


def table(rows: list[tuple[str, int, int, float]]) -> str:
    """Markdown of steps with their KiB and seconds, beside what pods ask for."""
    from pipelines.pods import Fixed

    pod = lambda step: "" if step == "imports" else Fixed().light_memory if step in LIGHT else HEAVY
    lines = ["| step | peak, GiB | of it anonymous | pod's request | seconds |", "|---|---|---|---|---|"]
    gib = lambda value: f"{value / 2**20:.2f}"
    lines += [f"| {s} | {gib(peak)} | {gib(own)} | {pod(s)} | {t:.0f} |" for s, peak, own, t in rows]
    return "\n".join(lines)


def measured(step: str, folder: Path) -> tuple[str, int, int, float]:
    """A step, its process's peaks of resident and of anonymous memory in KiB, and its seconds."""
    command = [sys.executable, __file__, "--folder", str(folder), "--only"]
    if f"_before_{step}" in globals():
        subprocess.run([*command, f"before_{step}"], check=True)
    began, most = time.monotonic(), {"VmHWM": 0, "RssAnon": 0}
    process = subprocess.Popen([*command, step])
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in most:
                most[name] = max(most[name], int(value.split()[0]))
        time.sleep(LOOK)
    if process.returncode:
        raise SystemExit(f"{step} ended with {process.returncode}")
    found = (step, most["VmHWM"], most["RssAnon"], time.monotonic() - began)
    print(*found, flush=True)
    return found


def begin(folder: Path, images: int, real: int) -> None:
    """The experiment, its folder of pictures and its base model."""
    from PIL import Image

    from unpromptable.models.families import ddpm
    from unpromptable.pretraining.ddpm import Pretraining, build

    noise = lambda seed: np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    (folder / "real").mkdir()
    Image.fromarray(noise(KINDS)).save(folder / "real" / "target.png", compress_level=1)
    for i in range(real - 1):
        path = folder / "real" / f"{i:05d}.png"
        if i < KINDS:
            Image.fromarray(noise(i)).save(path, compress_level=1)
        else:
            os.link(folder / "real" / f"{i % KINDS:05d}.png", path)
    ddpm.Model(*build(SIDE, Pretraining(channels=(8,) * 4))).save(folder / "model")
    cells = ", ".join(f"{{name: cell {i}}}" for i in range(CELLS))
    asked = {"real": folder / "real", "model": folder / "model", "images": images, "cells": cells}
    (folder / "experiment.yaml").write_text(TEXT.format(**asked))


def work(step: str, folder: Path) -> None:
    """One step, or what has to be there before it."""
    os.environ["MLFLOW_TRACKING_URI"] = "nowhere://x"
    if step not in LIGHT:
        stand_in()
    if step == "imports":
        return
    store, text = str(folder / "store"), (folder / "experiment.yaml").read_text()
    if step == "plan":
        from unpromptable.execution import plan_step

        assert len(plan_step.plan(text, "paper", {}, store)) == CELLS
        return
    from unpromptable.planning import spec
    from unpromptable.storage import once

    run = spec.read(store)
    globals()[f"_{step}"](run, run.cells[0], store, text)
    failed = [told for told in map(once.noted, [s.place(store) for s in (run.shared, *run.cells)]) if told]
    assert not failed, failed


def stand_in() -> None:
    """Metric networks that look at a few pixels, and answer as those of the paper do."""
    import torch

    from unpromptable.scoring import metric_networks

    weights = torch.randn(192, 2048, generator=torch.Generator().manual_seed(0))
    # less their mean, or all noise would look alike
    small = lambda u: torch.nn.functional.interpolate(u, (8, 8), mode="area").flatten(1) - 0.5
    describe = lambda u: torch.nn.functional.normalize(small(u) @ weights[:, :512])
    apart = lambda u, v: (small(u) - small(v)).square().mean(1)
    batched = metric_networks.batched
    found = metric_networks.MetricNetworks(
        "miniature",
        lambda x: batched(describe, x),
        lambda a, b: batched(apart, a, b),
        lambda x: batched(lambda u: small(u) @ weights, x),
    )
    metric_networks.load = lambda *_: found


def _made(output, build: Callable[[Path], object]) -> None:
    """An output, marked as finished."""
    from unpromptable.storage import once

    once.make(output, lambda path, bar: build(path))


def _prepare(run, cell, store: str, text: str) -> None:
    from unpromptable.execution import prepare_step

    prepare_step.prepare(text, store)


def _edit(run, cell, store: str, text: str) -> None:
    from unpromptable.execution import unlearn_step

    for one in run.cells:
        unlearn_step.edit(one, store)


def _unlearn(run, cell, store: str, text: str) -> None:
    from unpromptable.execution import unlearn_step

    unlearn_step.unlearn(run.id(cell), store, "")


def _sample(run, cell, store: str, text: str) -> None:
    """The first shard of the base model's images."""
    from unpromptable.execution import sample_step

    sample_step.sample(run.id(run.shared), store, 0, len(run.shards))


def _before_gather(run, cell, store: str, text: str) -> None:
    """The other shards: the first one's pictures under seeds of their own."""
    from unpromptable import data
    from unpromptable.execution import sample_step

    first, *others = (sample_step._output(run.shared, store, shard) for shard in run.shards)
    drawn = data.load(first.path)[0]["samples"]
    for output, shard in zip(others, run.shards[1:]):
        told = {"seeds": list(range(shard.first, shard.first + shard.count)), "seconds": 1.0}
        pictures = {"samples": np.resize(drawn, (shard.count, *drawn.shape[1:]))}
        _made(output, lambda path, pictures=pictures, told=told: data.save(path, pictures, told))


def _gather(run, cell, store: str, text: str) -> None:
    from unpromptable.execution import sample_step

    sample_step.gather(run, run.shared, store)


def _before_score(run, cell, store: str, text: str) -> None:
    """Every cell draws what the base model draws."""
    from unpromptable.storage import files

    before = run.shared.place(store).path("before.safetensors")
    for one in run.cells:
        after = one.output(store, "gather", "after.safetensors", "samples")
        _made(after, lambda path: files.deliver(before, str(path)))


def _score(run, cell, store: str, text: str) -> None:
    """SSIM of some pairs alone, and no roots of matrices: they take minutes, and little memory."""
    from unpromptable.execution import score_step
    from unpromptable.scoring import frechet
    from unpromptable.scoring.metrics import ssim

    frechet.distance, frechet.GROUPS = lambda a, b: 0.0, 2
    own = ssim.similarity
    ssim.similarity = lambda a, b, *how: np.resize(own(a[:PAIRS], b[:PAIRS], *how), len(a))
    score_step.score(run.id(cell), store)


def _before_page(run, cell, store: str, text: str) -> None:
    from unpromptable.storage import files

    files.clear(cell.place(store).path("page.html"))


def _page(run, cell, store: str, text: str) -> None:
    """The cell's page again, its row being there."""
    _score(run, cell, store, text)


def _before_report(run, cell, store: str, text: str) -> None:
    """A row and a history for every cell."""
    from unpromptable.reporting import rows

    told = json.loads(cell.place(store).path("row.json").read_text())
    for one in run.cells[1:]:
        mine = json.dumps({**told, **rows.head(run.experiment, one)})
        _made(one.output(store, "score", "row.json", "row"), lambda path, mine=mine: path.write_text(mine))
        shutil.copy(cell.place(store).path("history.jsonl"), one.place(store).path("history.jsonl"))


def _report(run, cell, store: str, text: str) -> None:
    from unpromptable.execution import report_step

    report_step.report(store, text, "SUCCEEDED")


if __name__ == "__main__":
    main()

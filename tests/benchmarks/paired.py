"""Two ways of one work, timed in turn: their ratio with its quartiles, one JSON of all benchmarks and a plot.

A machine that others use is fast and slow by turns, so that a time alone says little. Two ways timed one
right after the other, in an order that alternates, share what the machine does; the ratio of such a pair is
kept, and of many pairs the median and the quartiles.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path("runs") / "bench.json"


@dataclass(frozen=True)
class Ratio:
    """Seconds of the other way over seconds of ours, above 1 where ours is faster; and each way's median
    seconds.
    """

    median: float
    low: float  # the quartiles of the pairs
    high: float
    pairs: int
    ours: float
    other: float

    def __str__(self) -> str:
        spread = f"{self.median:.2f} (quartiles {self.low:.2f} to {self.high:.2f}, {self.pairs} pairs)"
        return f"{spread}, {self.ours * 1000:.1f} ms against {self.other * 1000:.1f} ms"


def ratio(ours: Callable, other: Callable, pairs: int = 15, warm: int = 2, device: str = "cpu") -> Ratio:
    """The ratio of `other`'s time to that of `ours`, each called `warm` times before it counts."""
    for _ in range(warm):
        seconds(ours, device), seconds(other, device)
    found = []
    for k in range(pairs):
        order = (ours, other) if k % 2 else (other, ours)
        first, second = (seconds(call, device) for call in order)
        found.append((first, second) if k % 2 else (second, first))
    return of_pairs(found)


def of_pairs(found: list[tuple[float, float]]) -> Ratio:
    """The ratio of pairs (seconds of ours, seconds of the other way)."""
    times = np.array(found)
    low, median, high = np.percentile(times[:, 1] / times[:, 0], (25, 50, 75))
    ours, other = np.median(times, 0)
    return Ratio(float(median), float(low), float(high), len(times), float(ours), float(other))


def seconds(call: Callable, device: str = "cpu") -> float:
    """The wall time of one call, a GPU's work included."""
    synchronise(device)
    began = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - began


def synchronise(device: str) -> None:
    """Wait for a GPU."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()


def arguments(about: str, **networks: str) -> argparse.ArgumentParser:
    """The options that every benchmark has; networks: what `--network` may be, and what each is."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--pairs", type=int, default=15, help="timed pairs of each comparison")
    parser.add_argument("--out", type=Path, default=OUT, help="the JSON that rows are added to")
    if networks:
        told = "; ".join(f"{name}: {what}" for name, what in networks.items())
        parser.add_argument("--network", choices=list(networks), default=next(iter(networks)), help=told)
    return parser


def record(
    out: Path, benchmark: str, what: str, found: Ratio, wanted: float | None = None, **more: Any
) -> None:
    """Print one comparison, and put it into the JSON `out` in place of an earlier one of the same name.

    wanted: the least ratio that is asked for. more: other numbers of it, such as bytes or errors.
    """
    kept = json.loads(out.read_text()) if out.is_file() else {}
    row = {**asdict(found), "wanted": wanted, **more, "machine": machine()}
    kept.setdefault(benchmark, {})[what] = row
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f"{out.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(kept, indent=1) + "\n")
    temporary.replace(out)
    goal = f"; wanted at least {wanted:g}" if wanted else ""
    numbers = "".join(f"; {k} {v:.4g}" if isinstance(v, float) else f"; {k} {v}" for k, v in more.items())
    print(f"{benchmark}: {what}: {found}{goal}{numbers}", flush=True)


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {"processor": platform.machine(), "cores": os.cpu_count(), "gpu": gpu, "torch": torch.__version__}


def plot(out: Path) -> Path:
    """The ratios of every benchmark in the JSON, with their quartiles and what was wanted, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [(f"{b}: {w}", row) for b, all_ in json.loads(out.read_text()).items() for w, row in all_.items()]
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.4 * len(rows)), layout="constrained")
    for place, (_, row) in enumerate(reversed(rows)):
        spread = [[row["median"] - row["low"]], [row["high"] - row["median"]]]
        axes.errorbar(row["median"], place, xerr=spread, fmt="o", color="C0", capsize=3)
        if row["wanted"]:
            axes.plot(row["wanted"], place, "|", color="C3", markersize=14)
    axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
    axes.axvline(1, color="0.7")
    axes.set_xscale("log")
    axes.set_xlabel("times as fast; the bar is what was wanted")
    path = out.with_suffix(".png")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


if __name__ == "__main__":
    print(plot(arguments("Plots what the benchmarks found.").parse_args().out))

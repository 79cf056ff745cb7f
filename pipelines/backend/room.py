"""Whether each step's pod asks for as much memory as the plan needs there, told without a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isnan
from typing import Any

from pipelines.backend import nodes
from unpromptable.execution.probe import Finding
from unpromptable.planning.memory import Peak, gib

PLAIN = ("cpu", "memory", "ephemeral-storage")  # what a pod may ask for that is no accelerator
REMEDIES = {
    "sample": "ask for more with --memory, or lower sampling.batch or --images-per-shard",
    "unlearn": "ask for more with --memory, or lower training.micro_batch",
}
MORE = "ask for more with --memory"
COMPILED = "raise light_memory in pipelines/pods.py and compile the pipeline again"


def fits(pods: dict[str, dict[str, Any]], peaks: Iterable[Peak]) -> Iterator[Finding]:
    """One finding for each step whose pod is too small; where there is none, one that says what is needed."""
    largest: dict[str, tuple[float, Peak]] = {}
    unknown: list[str] = []
    for peak in peaks:
        if peak.step not in pods:
            continue
        needed = peak.host(_accelerators(pods[peak.step]))
        if isnan(needed):
            unknown.append(peak.step)
        elif needed > largest.get(peak.step, (0.0, peak))[0]:
            largest[peak.step] = needed, peak
    asked = {step: float(nodes.wanted(pods[step]).get("memory", 0)) for step in largest}
    small = [step for step, (needed, _) in largest.items() if 0 < asked[step] < needed]
    for step in small:
        needed, peak = largest[step]
        of = f" {peak.cell}" if peak.cell else ""
        text = f"{step}{of} needs about {gib(needed)}, and its pod asks for {gib(asked[step])}"
        remedy = COMPILED if peak.light else REMEDIES.get(step, MORE)
        yield Finding("memory", False, text, remedy)
    if not small and (largest or unknown):
        yield Finding("memory", True, _enough(largest, asked, unknown))


def _enough(largest: dict[str, tuple[float, Peak]], asked: dict[str, float], unknown: list[str]) -> str:
    told = [f"{step} {gib(needed)} of {gib(asked[step])}" for step, (needed, _) in largest.items()]
    known = f"about {', '.join(told)}" if told else ""
    open_ = f"not known for {', '.join(dict.fromkeys(unknown))}" if unknown else ""
    return "; ".join(filter(None, (known, open_)))


def _accelerators(pod: dict[str, Any]) -> int:
    return int(sum(count for name, count in nodes.wanted(pod).items() if name not in PLAIN))

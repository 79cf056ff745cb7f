"""The cheap test that a training with `training.until` asks on its way: is the target forgotten?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from unpromptable.planning.experiment import Cell, Experiment

# apart from the draws that the row is judged by, so that no training ends on the very numbers it is shown by
SEED = 1 << 20


def judge(cell: Cell, experiment: Experiment, model: Any, forget: Any) -> Callable[[Any, int], float] | None:
    """(model, number of the target) -> mean SSCD of the target denoised before and after, by coarse chains.

    None where the cell does not stop early. model: as it is before any update; it denoises every target
    once, here. forget: (F, H, W, 3). Of several targets the present one is tested; where training goes back
    to earlier ones (`training.revisit`), the one of all so far that is least forgotten.
    """
    from unpromptable.sampling import chains
    from unpromptable.scoring import metric_networks

    if not cell.training.until:
        return None
    networks = metric_networks.of(experiment.networks)
    asked = experiment.injection
    test = replace(asked, seed=asked.seed + SEED, stride=max(asked.stride, cell.training.until_stride))
    denoised = lambda now, which: networks.descriptor(chains.injected(now, forget[which], test))
    before = [denoised(model, which) for which in range(len(forget))]
    similar = lambda now, which: float((denoised(now, which) * before[which]).sum(1).mean())
    if not cell.training.revisit:
        return similar
    return lambda now, which: max(similar(now, earlier) for earlier in range(which + 1))

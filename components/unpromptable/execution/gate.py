"""The cheap test that a training with `training.until` asks on its way: is the target forgotten?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unpromptable.planning.experiment import Cell, Experiment

if TYPE_CHECKING:  # a step that hands on its work needs no torch
    from unpromptable.unlearning.drawing import Images
    from unpromptable.unlearning.stopping import Judge

# apart from the draws that the row is judged by, so that no training ends on the very numbers it is shown by
SEED = 1 << 20


def judge(cell: Cell, experiment: Experiment, model: Any, images: Images) -> Judge | None:
    """(model, number of the target) -> mean SSCD of the target denoised before and after, by coarse chains.

    None where the cell does not stop early. model: as it is before any update; it denoises every target
    once, here. Of several targets the present one is tested; where training goes back to earlier ones
    (`training.revisit`), the one of all so far that is least forgotten. What was forgotten before
    (`training.held`) is held against its own picture, since `model` does not show it.
    """
    from unpromptable.sampling import chains
    from unpromptable.scoring import metric_networks

    if not cell.training.until:
        return None
    networks = metric_networks.of(experiment.networks)
    asked = experiment.injection
    test = replace(asked, seed=asked.seed + SEED, stride=max(asked.stride, cell.training.until_stride))
    denoised = lambda now, which: networks.descriptor(chains.injected(now, images.forget[which], test))
    first = images.held
    own = networks.descriptor(images.forget[:first])[:, None] if first else []
    before = [*own, *(denoised(model, first + which) for which in range(len(images.targets)))]
    similar = lambda now, which: float((denoised(now, which) * before[which]).sum(1).mean())
    if not cell.training.revisit:
        return similar
    return lambda now, which: max(similar(now, earlier) for earlier in range(first + which + 1))

"""A batch that does not fit into the device's memory is cut in halves, and that is said."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch

from unpromptable.planning.settings import Training
from unpromptable.storage import attempts

from . import together

log = logging.getLogger(__name__)
Found = TypeVar("Found")


def smaller(settings: Training) -> Training:
    """The settings after faults of memory in earlier attempts at a step: the micro-batch halved for each."""
    before = _size(settings)
    now = max(1, before >> attempts.now.halvings)
    if now == before:
        return settings
    log.warning("memory ran out before: training.micro_batch goes from %d to %d; set it there", before, now)
    return replace(settings, micro_batch=now)


def fitting(work: Callable[[Training], Found], model: Any, settings: Training) -> tuple[Found, Training]:
    """What `work` finds on the batches that it draws by the settings, in ever smaller micro-batches while
    memory runs out; several processes take the same size.

    A gradient is that of the whole batch whatever its parts. Returns also the settings that fit, which later
    updates keep. Raises RuntimeError where not even one image fits, naming what to lower.
    """
    while True:
        short = None
        try:
            return work(settings), settings
        except torch.OutOfMemoryError as error:
            short = str(error).split(". ")[0]  # the error itself would keep the activations alive
        now = _size(settings)
        if now == 1:
            raise RuntimeError(
                f"out of memory with one image at a time ({short}); set model.checkpointing to true where the"
                " family has it, lower model.pixels or model.rank, or take a larger device"
            )
        settings = replace(settings, micro_batch=now // 2)
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
        log.warning(
            "out of memory (%s): training.micro_batch goes from %d to %d; set it there to skip this search",
            short,
            now,
            settings.micro_batch,
        )


def _size(settings: Training) -> int:
    """Images of a backward pass."""
    share = together.largest_share(settings.batch)
    return min(settings.micro_batch or share, share)

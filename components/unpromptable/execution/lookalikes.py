"""The lookalikes of a cell's targets, which a training with `training.lookalikes` remembers more often."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from unpromptable.planning.experiment import Cell, Experiment

if TYPE_CHECKING:  # a step that hands on its work needs no torch
    from unpromptable.unlearning.drawing import Images


def marked(cell: Cell, experiment: Experiment, images: Images) -> Images:
    """The images with those marked that look like a target, one forgotten before too; as they are where the
    cell asks for none. The descriptor of the metric networks says what looks alike.
    """
    if not cell.training.lookalikes:
        return images
    from unpromptable.scoring import lookalikes, metric_networks

    networks = metric_networks.of(experiment.networks)
    keep, targets = (networks.descriptor(x).numpy() for x in (images.remember, images.forget))
    return replace(images, lookalikes=lookalikes.nearest(keep, targets, cell.training.lookalikes_each))

"""Memory that runs out: a smaller micro-batch, said; or an error that says what to lower."""

import logging

import numpy as np
import pytest
import torch

from unpromptable.miniature import flags
from unpromptable.planning.settings import Training
from unpromptable.unlearning import fit_memory, training


def test_memory_that_runs_out_halves_the_micro_batch_and_says_so(flag_model, caplog):
    class Greedy:
        def update(self, model, batch):
            if (batch.micro or 8) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
            return {"micro": batch.micro}

    images = training.Images(
        np.stack([flags.picture("japan", k) for k in (0, 1)]),
        flags.picture("japan", 5)[None],
        flags.picture("japan", 6)[None],
        ("a",),
    )
    settings = Training(batch=8)
    fresh = lambda s: training.draw_batch(flag_model, s, images, 0, 0, False)
    update = lambda method: lambda s: method().update(flag_model, fresh(s))
    with caplog.at_level(logging.WARNING):
        values, fitting = fit_memory.fitting(update(Greedy), flag_model, settings)
    assert (
        values == {"micro": 2}
        and fitting.micro_batch == 2
        and "from 8 to 4" in caplog.text
        and "from 4 to 2" in caplog.text
    )

    class Hopeless:
        def update(self, model, batch):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried")

    with pytest.raises(RuntimeError, match="one image at a time .* lower model.pixels"):
        fit_memory.fitting(update(Hopeless), flag_model, settings)

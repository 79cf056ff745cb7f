"""A version of a series as MLflow loads it: pictures from seeds. MLflow keeps a copy of this file with each
version and runs it, so that nothing is unpickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

RELEASE, MODEL = "release", "model"  # the artifact, and in it the diffusers folder


class Pictures(PythonModel):
    """Draws the pictures that the release was judged by."""

    def load_context(self, context: Any) -> None:
        """Read the model. The version's configuration: family, sampler, steps and batch."""
        from unpromptable.models import device
        from unpromptable.planning import plugins
        from unpromptable.planning.settings import Sampling

        config = dict(context.model_config)
        family = plugins.make("model", config.pop("family"))
        self.settings = Sampling(**config, images=config["batch"])
        folder = Path(context.artifacts[RELEASE]) / MODEL
        self.model = family.model.load(folder, device.best())

    def predict(self, context: Any, model_input: list[int], params: Any = None):  # type: ignore[no-untyped-def]
        """The picture of each seed, uint8 (N, H, W, 3); model_input: seeds."""
        from unpromptable.sampling import chains

        size = self.settings.batch
        whole = chains.filled(list(model_input), size)
        parts = [
            chains.chain(self.model, self.settings, whole[i : i + size]) for i in range(0, len(whole), size)
        ]
        return np.concatenate(parts)[: len(model_input)]


set_model(Pictures())

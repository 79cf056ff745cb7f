"""Training a base model: what its network is taught to output."""
import numpy as np
import pytest
import torch

from unpromptable import pretraining
from unpromptable.pretraining import Pretraining, pretrain

SMALL = dict(steps=80, batch=8, lr=4e-2, channels=(8, 16))


@pytest.mark.parametrize("prediction", pretraining.PREDICTIONS)
def test_the_saved_scheduler_says_what_the_network_was_taught_to_output(prediction, tmp_path):
    """On one flat picture the right answer is known: at much noise it is that of the picture itself."""
    from diffusers import DDPMPipeline

    image = np.full((4, 8, 8, 3), 255, np.uint8)
    pretrain(image, tmp_path / "m", Pretraining(**SMALL, prediction=prediction))
    pipe = DDPMPipeline.from_pretrained(tmp_path / "m")
    assert pipe.scheduler.config.prediction_type == prediction
    x0, eps = torch.ones(8, 3, 8, 8), torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    abar = pipe.scheduler.alphas_cumprod[600]
    with torch.no_grad():
        output = pipe.unet(abar.sqrt() * x0 + (1 - abar).sqrt() * eps, 600).sample
    right = {"epsilon": eps, "v_prediction": abar.sqrt() * eps - (1 - abar).sqrt() * x0, "sample": x0}
    errors = {k: float((output - v).square().mean()) for k, v in right.items()}
    assert min(errors, key=errors.get) == prediction, errors


def test_a_prediction_that_is_none_is_refused_by_name():
    with pytest.raises(ValueError, match="pretraining.prediction: no 'noise'; choose from epsilon, v_prediction, sample"):
        Pretraining(prediction="noise")

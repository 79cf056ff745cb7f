"""A pipeline's folder as stock diffusers writes it, and its network written in other forms."""

import shutil

import pytest

PLAIN = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def whole(tiny, tmp_path):
    """A pipeline's folder as stock diffusers writes it."""
    from diffusers import DDPMPipeline

    DDPMPipeline(unet=tiny.network, scheduler=tiny.scheduler).save_pretrained(
        tmp_path / "whole", safe_serialization=True
    )
    return tmp_path / "whole"


def written(tiny, folder, **how):
    """The network alone, saved again in another form."""
    shutil.rmtree(folder / "unet")
    tiny.network.save_pretrained(folder / "unet", **how)
    return folder

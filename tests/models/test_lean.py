"""A leaner network gives the same bits, forwards and backwards."""

import copy

import ddpm_small
import pytest
import torch

from unpromptable.models.lean import lean


def shipped():
    """The miniature's network, as stock diffusers reads it."""
    from importlib import resources

    from diffusers import UNet2DModel

    folder = resources.files("unpromptable") / "miniature" / "ddpm" / "unet"
    return UNet2DModel.from_pretrained(str(folder), use_safetensors=True).eval()


@pytest.fixture(params=["small", "shipped"])
def pair(request):
    """A stock network and a lean copy of it, and what they are given."""
    stock = (shipped() if request.param == "shipped" else ddpm_small.pipeline().unet.eval()).to(
        memory_format=torch.channels_last
    )
    g, side = torch.Generator().manual_seed(0), stock.config.sample_size
    x = torch.randn((8, 3, side, side), generator=g).contiguous(memory_format=torch.channels_last)
    return stock, lean(copy.deepcopy(stock)), x, torch.arange(8) * 100


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("half", [False, True])
def test_outputs_are_the_same_bits(pair, mode, half):
    stock, leaner, x, t = pair
    with mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        wanted = stock(x, t).sample
        assert torch.equal(leaner(x, t).sample, wanted) and torch.equal(leaner(x, t).sample, wanted)


def test_gradients_are_the_same_bits(pair):
    stock, leaner, x, t = pair
    found = [
        torch.autograd.grad(net(x, t).sample.square().mean(), list(net.parameters()))
        for net in (stock, leaner)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*found))


def test_a_copy_runs_on_its_own_weights(pair):
    stock, leaner, x, t = pair
    other = copy.deepcopy(leaner)
    with torch.no_grad():
        for p in leaner.parameters():
            p.zero_()
        assert torch.equal(other(x, t).sample, stock(x, t).sample)


def test_blocks_of_another_kind_stay_as_they_are():
    from diffusers.models.resnet import ResnetBlock2D

    usual = ResnetBlock2D(in_channels=32, temb_channels=8)
    others = [
        ResnetBlock2D(in_channels=32, temb_channels=8, **how)
        for how in ({"output_scale_factor": 2.0}, {"time_embedding_norm": "scale_shift"}, {"up": True})
    ]
    lean(torch.nn.ModuleList([usual, *others]))
    assert "forward" in vars(usual) and not any("forward" in vars(block) for block in others)

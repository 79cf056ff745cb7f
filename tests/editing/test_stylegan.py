"""Generator and encoder against the published files' names and shapes, and their maths against plain
torch.
"""

import math

import pytest
import torch
from torch.nn import functional as F

from unpromptable.editing.tedigan import encoder as encoding
from unpromptable.editing.tedigan import stylegan

SMALL = stylegan.Shape(resolution=16, code=8, base=64, most=8, first=4, top=8)


def published_generator():
    """Every tensor of styleganinv_ffhq256_generator.pth, as genforce/idinvert_pytorch and IIGROUP/TediGAN
    load it (models/stylegan_generator_network.py).
    """
    c = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64}
    table = {
        "truncation.w_avg": (512,),
        "truncation.truncation": (1, 14, 1),
        "synthesis.lod": (),
        "synthesis.layer0.const": (1, 512, 4, 4),
    }
    for i in range(8):
        out = 7168 if i == 7 else 512
        table |= {f"mapping.dense{i}.fc.weight": (out, 512), f"mapping.dense{i}.wscale.bias": (out,)}
    for i in range(14):
        r, name = 4 << i // 2, f"synthesis.layer{i}"
        if i:
            before = c[4 << (i - 1) // 2]
            table[f"{name}.weight" if i in (10, 12) else f"{name}.conv.weight"] = (
                (3, 3, before, c[r]) if i in (10, 12) else (c[r], before, 3, 3)
            )
        if i and i % 2 == 0:
            table[f"{name}.blur.kernel"] = (c[r], 1, 3, 3)
        table |= {
            f"{name}.epilogue.bias": (c[r],),
            f"{name}.epilogue.apply_noise.weight": (c[r],),
            f"{name}.epilogue.apply_noise.noise": (1, 1, r, r),
            f"{name}.epilogue.style_mod.dense.fc.weight": (2 * c[r], 512),
            f"{name}.epilogue.style_mod.dense.wscale.bias": (2 * c[r],),
        }
    for k in range(7):
        table |= {f"synthesis.output{k}.conv.weight": (3, c[4 << k], 1, 1), f"synthesis.output{k}.bias": (3,)}
    return table


def published_encoder():
    """Every tensor of styleganinv_ffhq256_encoder.pth, as the same two load it
    (models/stylegan_encoder_network.py).
    """
    bn = lambda name, n: {
        f"{name}.bn.weight": (n,),
        f"{name}.bn.bias": (n,),
        f"{name}.bn.running_mean": (n,),
        f"{name}.bn.running_var": (n,),
        f"{name}.bn.num_batches_tracked": (),
    }
    widths = [64, 128, 256, 512, 1024, 1024, 1024]
    table = {
        "block0.conv.weight": (64, 3, 3, 3),
        **bn("block0.bn", 64),
        "block7.fc.weight": (7168, 16384),
        **bn("block7.bn", 7168),
    }
    for i, (a, b) in enumerate(zip(widths, widths[1:]), 1):
        h = min(a, b)
        if a != b:
            table |= {f"block{i}.conv.weight": (b, a, 1, 1), **bn(f"block{i}.bn", b)}
        table |= {
            f"block{i}.conv1.weight": (h, a, 3, 3),
            f"block{i}.wscale1.bias": (h,),
            **bn(f"block{i}.bn1", h),
            f"block{i}.conv2.weight": (b, h, 3, 3),
            f"block{i}.wscale2.bias": (b,),
            **bn(f"block{i}.bn2", b),
        }
    return table


@pytest.mark.parametrize(
    "cls, table, tensors, parameters",
    [
        (stylegan.Generator, published_generator, 123, 29_500_757),
        (encoding.Encoder, published_encoder, 120, 165_326_848),
    ],
)
def test_names_and_shapes_at_256_are_the_published_ones(cls, table, tensors, parameters):
    with torch.device("meta"):
        network = cls()
    assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == table()
    assert len(network.state_dict()) == tensors and sum(p.numel() for p in network.parameters()) == parameters


def test_files_in_the_published_format_load_and_give_the_same_pictures(tmp_path):
    torch.manual_seed(0)
    generator, encoder = stylegan.Generator(SMALL).eval(), encoding.Encoder(SMALL).eval()
    torch.save(
        generator.state_dict() | {"truncation.truncation": torch.zeros(1, SMALL.layers, 1)},
        tmp_path / "g.pth",
    )
    torch.save(encoder.state_dict(), tmp_path / "e.pth")
    g, e = encoding.load(tmp_path / "g.pth", tmp_path / "e.pth", SMALL)
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    assert (
        torch.equal(g(e(x)), generator(encoder(x)))
        and g(e(x)).shape == x.shape
        and float(g(e(x)).detach().abs().max()) <= 1
    )
    assert torch.equal(g.truncation.truncation, generator.truncation.truncation) and not any(
        p.requires_grad for p in g.parameters()
    )


def test_a_fused_layer_is_its_transposed_convolution_written_out():
    layer = stylegan._Layer(10, stylegan.Shape(base=512, most=4, code=8))
    assert layer.kind == "fused" and layer.gain == pytest.approx(
        math.sqrt(2) / math.sqrt(9 * layer.weight.shape[2])
    )
    x = torch.randn(1, layer.weight.shape[2], 64, 64, dtype=torch.float64)
    near = F.interpolate(x, scale_factor=2, mode="nearest")
    # a transposed convolution turns its kernel round
    expected = F.conv2d(near, layer.double().weight.detach().flip(0, 1).permute(3, 2, 0, 1), padding=1)
    assert torch.allclose(layer._doubled(x), expected, atol=1e-10)


def test_an_epilogue_normalises_every_channel_before_the_style():
    epilogue = stylegan._Epilogue(4, 8, 8).double()
    torch.nn.init.zeros_(epilogue.style_mod.dense.fc.weight)
    y = epilogue(torch.randn(2, 4, 8, 8, dtype=torch.float64) * 5 + 3, torch.zeros(2, 8, dtype=torch.float64))
    assert torch.allclose(
        y.mean((2, 3)), torch.zeros(2, 4, dtype=torch.float64), atol=1e-12
    ) and torch.allclose(y.var((2, 3), correction=0), torch.ones(2, 4, dtype=torch.float64), atol=1e-6)


def test_weights_of_another_network_and_files_of_other_things_are_named(tmp_path):
    generator = stylegan.Generator(SMALL)
    torch.save(
        {**generator.state_dict(), "synthesis.layer0.const": torch.zeros(1, 4, 4, 4)}, tmp_path / "g.pth"
    )
    torch.save(encoding.Encoder(SMALL).state_dict(), tmp_path / "e.pth")
    with pytest.raises(
        ValueError, match=r"g.pth: synthesis.layer0.const is \(1, 4, 4, 4\), expected \(1, 8, 4, 4\)"
    ):
        encoding.load(tmp_path / "g.pth", tmp_path / "e.pth", SMALL)
    (tmp_path / "g.pth").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="g.pth: not a file of tensors"):
        encoding.load(tmp_path / "g.pth", tmp_path / "e.pth", SMALL)


def test_a_resolution_that_is_no_power_of_two_is_refused():
    with pytest.raises(ValueError, match="stylegan.resolution is 48"):
        stylegan.Shape(resolution=48)


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path):
    state = stylegan.Generator(SMALL).state_dict()
    state["synthesis.output2.bias"][1] = float("nan")
    (
        torch.save(state, tmp_path / "g.pth"),
        torch.save(encoding.Encoder(SMALL).state_dict(), tmp_path / "e.pth"),
    )
    with pytest.raises(
        ValueError, match=r"g.pth: synthesis.output2.bias is not finite \(1 of \d+ tensors\); it is damaged"
    ):
        encoding.load(tmp_path / "g.pth", tmp_path / "e.pth", SMALL)

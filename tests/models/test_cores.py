"""Cores share a batch out, and its pictures stay what they were."""

import threading

import pytest
import torch

from unpromptable.models import cores
from unpromptable.models.families import ddpm


@pytest.fixture
def threads():
    """The number of threads is put back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "batch, threads, size",
    [(64, 1, 32), (64, 2, 32), (64, 4, 16), (64, 8, 16), (32, 1, 32), (32, 2, 16), (8, 2, 8), (40, 2, 40)],
)
def test_parts_are_equal_and_as_many_as_cores_where_they_can_be(batch, threads, size):
    assert cores.part(batch, threads) == size


def test_a_batch_is_shared_out_in_order_and_each_core_works_alone(threads):
    threads(2)
    seen = set()

    def network(x, t):
        seen.add((threading.current_thread().name, len(x), torch.get_num_threads()))
        assert torch.is_inference_mode_enabled()
        return x + t.view(-1, 1)

    x, t = torch.arange(128.0).view(64, 2), torch.arange(64)
    torch.testing.assert_close(cores.shared(network, x, t), x + t.view(-1, 1))
    assert {(size, alone) for _, size, alone in seen} == {(32, 1)} and all(
        "core" in name for name, *_ in seen
    )
    assert torch.get_num_threads() == 2


def test_a_precision_goes_along_and_a_failure_comes_back(threads):
    threads(2)
    weight = torch.randn(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert cores.shared(lambda x: x @ weight, torch.randn(64, 4)).dtype == torch.bfloat16

    def broken(x):
        raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"):
        cores.shared(broken, torch.randn(64, 4))


@pytest.mark.parametrize("number", [1, 2])
def test_pictures_are_bit_for_bit_those_of_the_whole_batch(threads, number):
    """The shipped network, whose sizes and kernels are what users run."""
    from importlib import resources

    threads(number)
    model = ddpm.Model.load(resources.files("unpromptable") / "miniature" / "ddpm")
    g = torch.Generator().manual_seed(0)
    x, t = torch.randn((64, *model.noise_shape()), generator=g), torch.full((64,), 400)
    with model.inference():
        assert torch.equal(model.denoise(x, t), model.predict(x, t))

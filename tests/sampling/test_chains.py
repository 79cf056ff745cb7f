"""Image i depends on its seed and the weights alone."""

import numpy as np
import pytest

from unpromptable.planning.settings import Sampling
from unpromptable.planning.shards import shards
from unpromptable.sampling import chains


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm++", "unipc"])
@pytest.mark.parametrize("batch", [1, 3, 8, 32])
def test_batch_size_changes_images_by_rounding_alone(tiny, sampler, batch):
    whole, _ = chains.sample(tiny, Sampling(sampler, 5, 11, batch=8), 0, 11)
    other, seeds = chains.sample(tiny, Sampling(sampler, 5, 11, batch=batch), 0, 11)
    assert (
        seeds == list(range(11))
        and np.abs(other.astype(int) - whole).max() <= 1
        and (other == whole).mean() > 0.99
    )


class Rounding:
    """A model whose network rounds as no two batch sizes do alike: what a processor or a GPU may do to the
    last bit, seen at once.
    """

    def __init__(self, model):
        self.model, self.sizes = model, set()

    def __getattr__(self, name):
        return getattr(self.model, name)

    def denoise(self, x, t):
        self.sizes.add(len(x))
        return self.model.denoise(x, t) + 0.01 * len(x)


@pytest.mark.parametrize("batch, images, size", [(4, 11, 4), (8, 11, 8), (64, 11, 16)])
def test_shards_do_not_change_images_where_every_batch_size_rounds_in_its_own_way(tiny, batch, images, size):
    model, settings = Rounding(tiny), Sampling("ddim", 2, images, batch=batch)
    whole, _ = chains.sample(model, settings, 0, images)
    parts = [chains.sample(model, settings, first, count)[0] for first, count in ((0, 3), (3, 7), (10, 1))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert model.sizes == {size}


def test_a_noise_draw_does_not_depend_on_how_many_there_are(tiny, pictures):
    seen, model = [], Rounding(tiny)
    many = chains.inject(model, pictures[0], 12, 19, seed=7, progress=lambda k, n: seen.append((k, n)))
    np.testing.assert_array_equal(chains.inject(model, pictures[0], 12, 10, seed=7), many[:10])
    assert (
        model.sizes == {8}
        and seen == [(k + 1, 39) for k in range(39)]
        and len({i.tobytes() for i in many}) == 19
    )


@pytest.mark.parametrize(
    "sampler, count", [("ddpm", 1), ("ddpm", 2), ("ddpm", 3), ("ddpm", 5), ("dpm++", 2), ("unipc", 3)]
)
def test_shards_do_not_change_images(tiny, sampler, count):
    settings = Sampling(sampler, 4, 11, batch=4, shards=count, first_seed=100)
    whole, _ = chains.sample(tiny, settings, 0, 11)
    pieces = [chains.sample(tiny, settings, s["first"], s["count"]) for s in shards(settings)]
    np.testing.assert_array_equal(np.concatenate([p for p, _ in pieces]), whole)
    assert [s for _, seeds in pieces for s in seeds] == list(range(100, 111))


def test_bf16_draws_nearly_the_same_pictures_and_changes_nothing_after(tiny):
    asked = {"sampler": "ddim", "steps": 5, "images": 8, "batch": 8}
    exact, _ = chains.sample(tiny, Sampling(**asked), 0, 8)
    half, _ = chains.sample(tiny, Sampling(**asked, precision="bf16"), 0, 8)
    far = np.abs(half.astype(int) - exact)
    assert 0 < far.max() and far.mean() < 1
    np.testing.assert_array_equal(chains.sample(tiny, Sampling(**asked), 0, 8)[0], exact)


def test_tf32_is_refused_where_there_is_no_gpu(tiny):
    with pytest.raises(ValueError, match="sampling.precision is tf32, which GPUs have; choose no or bf16"):
        chains.sample(tiny, Sampling("ddim", 2, 8, batch=8, precision="tf32"), 0, 8)


def test_seeds_differ_from_each_other(tiny):
    images, _ = chains.sample(tiny, Sampling("ddpm", 3, 4, batch=4), 0, 4)
    assert len({i.tobytes() for i in images}) == 4


def test_injection_repeats_exactly_and_its_draws_differ(tiny, pictures):
    first, again = (chains.inject(tiny, pictures[0], 12, 3, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(chains.inject(tiny, pictures[0], 12, 2, seed=7), first[:2])
    assert len({i.tobytes() for i in first}) == 3


def test_a_stride_takes_fewer_steps_of_the_variance_between_their_ends(tiny, pictures, monkeypatch):
    """Ancestral variance from t to s (Ho 2020, Eq. 7): (1 - abar_s)/(1 - abar_t) * (1 - abar_t/abar_s)."""
    seen = []
    predict = tiny.predict
    monkeypatch.setattr(tiny, "predict", lambda x, t: (seen.append(int(t[0])), predict(x, t))[1])
    chains.inject(tiny, pictures[0], 12, 1, seed=7, stride=5)
    assert seen == [12, 7, 2, 0]
    scheduler, _ = tiny.injection_schedule(12, 5)
    abar = scheduler.alphas_cumprod
    for t, s in ((12, 7), (7, 2), (2, 0)):
        assert float(scheduler._get_variance(t)) == pytest.approx(
            float((1 - abar[s]) / (1 - abar[t]) * (1 - abar[t] / abar[s])), rel=1e-4
        )


def test_siss_compat_starts_the_chain_with_the_injected_noise(tiny, pictures):
    assert not np.array_equal(
        chains.inject(tiny, pictures[0], 12, 1, 7, siss_compat=True),
        chains.inject(tiny, pictures[0], 12, 1, 7),
    )


def test_injection_outside_the_schedule_is_refused(tiny, pictures):
    with pytest.raises(ValueError, match="injection.t is 1000; it must lie in 1..999"):
        chains.inject(tiny, pictures[0], 1000, 1, 0)


def test_ddim_equals_the_closed_form_of_one_step(tiny):
    """From t=500 in a single step to the clean estimate, clipped: (x - noise*eps)/signal."""
    import torch

    settings = Sampling("ddim", 1, 8, batch=8)
    images, _ = chains.sample(tiny, settings, 0, 8)
    x = chains.draw([chains.generator(s) for s in range(8)], tiny.noise_shape())
    t = torch.zeros(8, dtype=torch.long)
    signal, noise = tiny.schedule(t)
    with torch.no_grad():
        clean = (x - noise.view(-1, 1, 1, 1) * tiny.predict(x, t)) / signal.view(-1, 1, 1, 1)
    assert np.abs(images.astype(int) - tiny.decode(clean)).max() <= 1

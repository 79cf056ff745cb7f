"""A picture's seed, found and drawn again, of models that are linear and so known exactly."""

import pytest
import torch

from unpromptable import equations
from unpromptable.sampling import inversion

KINDS = (*equations.PREDICTIONS, "flow")


class Linear:
    """Pictures from N(0, 1/4): the best clean picture and noise at x are multiples of it."""

    timesteps, device = 200, torch.device("cpu")

    def __init__(self, kind):
        self.kind = kind
        self.abar = torch.linspace(4.6, -4.6, self.timesteps, dtype=torch.float64).mul(2).sigmoid()

    def times(self, index, floored=True):
        return index

    def schedule(self, t):
        sigma = (t.double() + 1) / (self.timesteps + 1)
        return (1 - sigma, sigma) if self.kind == "flow" else (self.abar[t].sqrt(), (1 - self.abar[t]).sqrt())

    def target(self, x0, eps, t):
        if self.kind == "flow":
            return eps - x0
        return equations.network_target(self.kind, x0, eps, *self.schedule(t))

    def best(self, x, t):
        signal, noise = (equations.over(v, x) for v in self.schedule(t))
        total = signal.square() / 4 + noise.square()
        return signal / 4 * x / total, noise * x / total

    def predict(self, x, t):
        return self.target(*self.best(x, t), t)


def pictures(number=3):
    g = torch.Generator().manual_seed(0)
    return 0.5 * torch.randn((number, 3, 4, 4), generator=g, dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_stands_for_its_clean_picture_and_noise_whatever_a_network_predicts(kind):
    model, x, t = Linear(kind), pictures(), torch.tensor([0, 90, 199])
    for found, exact in zip(inversion.parts(model, x, t), model.best(x, t)):
        torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_that_is_found_draws_the_picture_and_more_rounds_find_it_better(kind):
    model, x0 = Linear(kind), pictures()
    grid = inversion.times(model, 20)
    off = [
        float((inversion.sample(model, inversion.invert(model, x0, grid, rounds), grid) - x0).abs().max())
        for rounds in (1, 4, 200)
    ]
    assert off[0] > 1e-3 and off[0] > 2 * off[1] and off[2] < 1e-6


def test_a_step_to_the_same_time_changes_nothing_and_the_grid_spans_the_process():
    model, x, t = Linear("epsilon"), pictures(), torch.tensor([0, 90, 199])
    torch.testing.assert_close(inversion.step(model, x, t, t), x)
    assert inversion.times(model, 5).tolist() == [0, 50, 100, 149, 199]
    assert inversion.first(model, 2).tolist() == [0, 0] and inversion.at(model, 250, 2).tolist() == [50, 50]


def test_models_of_one_kind_have_the_same_numbers_and_others_have_not(tiny):
    import ddpm_small

    told = inversion.kind(tiny, (100, 400))
    assert told == inversion.kind(tiny.reference(), (100, 400)) and len(told) == 3 + 2 * 4
    assert told != inversion.kind(ddpm_small.model("v_prediction", "linear"), (100, 400))


def test_what_a_chain_leaves_for_its_gradient_does_not_grow_with_its_calls_and_the_gradient_is_the_same(tiny):
    def chain(steps, plain=False):
        """Bytes that are kept for the backward pass, and the gradient."""
        seed = torch.randn((1, *tiny.noise_shape()), generator=torch.Generator().manual_seed(2))
        seed, kept, grid = seed.requires_grad_(True), [], inversion.times(tiny, steps)
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (kept.append(x.nbytes), x)[1], lambda x: x):
            if plain:
                x, falling = seed, grid.flip(0)
                for t, to in zip(falling, falling[1:]):
                    x = inversion.step(tiny, x, t.expand(1), to.expand(1))
                made = inversion.parts(tiny, x, grid[:1])[0]
            else:
                made = inversion.sample(tiny, seed, grid)
        return sum(kept), torch.autograd.grad(made.square().sum(), seed)[0]

    (held, same), (two, _), (ten, _) = chain(10, plain=True), chain(2), chain(10)
    torch.testing.assert_close(chain(10)[1], same)
    assert ten - two < held / 100


def test_a_flow_of_latents_comes_apart_too_and_a_seed_of_it_has_a_gradient(flag_model):
    from unpromptable.miniature import flags
    from unpromptable.planning import plugins
    from unpromptable.scoring import metric_networks

    x = torch.randn((2, *flag_model.noise_shape()), generator=torch.Generator().manual_seed(1))
    t = inversion.at(flag_model, 400, 2)
    with torch.no_grad():
        clean, eps = inversion.parts(flag_model, x, t)
        torch.testing.assert_close(equations.noisy(clean, eps, *flag_model.schedule(t)), x)
        torch.testing.assert_close(eps - clean, flag_model.predict(x, t))
    shown = flags.picture("japan", 5)[None]
    search = plugins.make("metric", "latent", {"steps": 3, "refine": 3, "rate": 0.1})
    alike, beyond = search._found(flag_model, shown, metric_networks.load("flags"))
    plain, _ = plugins.make("metric", "latent", {"steps": 3, "refine": 0})._found(
        flag_model, shown, metric_networks.load("flags")
    )
    assert alike[0] >= plain[0] and abs(beyond[0]) < 1000
    known = plugins.make("metric", "membership", {"draws": 1, "others": 2, "secmi": 40})
    found = known._known(flag_model, {"a": shown[0]}, shown[[0, 0]])
    assert found == {"loss/a": [0.5, 0.5], "secmi/a": [0.5, 0.5]}

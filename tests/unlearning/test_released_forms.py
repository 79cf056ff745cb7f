"""What the methods' released codes compute, written again by numpy or plain torch on toys in float64."""

import dataclasses

import numpy as np
import pytest
import torch

from unpromptable.planning import plugins
from unpromptable.unlearning.batch import Batch

WITHIN = {"rtol": 1e-6, "atol": 1e-12}


def flat(x):
    return x.flatten(1).numpy()


def slope(w, x, target, weights=None):
    """d/dW of the mean over images of weights_i * the mean over pixels of (W x_i - target_i)^2."""
    weights = np.ones(len(x)) if weights is None else weights
    return 2 * ((x @ w.T - target) * weights[:, None]).T @ x / x.size


def gradient(toy, b, name, **settings):
    values = plugins.make("method", name, settings).update(toy, b)
    return toy.weight.grad.numpy(), values


def noised(toy, x, t, eps):
    signal, noise = (v.numpy()[:, None] for v in toy.schedule(t))
    return signal * flat(x) + noise * flat(eps)


@pytest.fixture
def pair(toy_batch):
    """The batch with a t of its own for the second branch."""
    return dataclasses.replace(toy_batch, t_other=torch.tensor([3, 0, 1]))


def uniform():
    drawn = torch.rand((3, 3, 2, 2), generator=torch.Generator().manual_seed(5))
    return drawn.double()


def test_no_is_subtracts_the_forget_images_own_loss_at_the_same_norm(toy, toy_batch):
    b, w = toy_batch, toy.weight.detach().numpy()
    g_x, g_a = (slope(w, noised(toy, x, b.t, b.eps), flat(b.eps)) for x in (b.remember, b.forget))
    found, _ = gradient(toy, b, "siss", importance=False, scaling_norm=0.7)
    np.testing.assert_allclose(found, g_x - 0.7 / np.linalg.norm(g_a) * g_a, **WITHIN)
    assert torch.equal(b.generator.get_state(), torch.Generator().manual_seed(5).get_state())


@pytest.mark.parametrize("timesteps", ["shared", "independent"])
@pytest.mark.parametrize("noise", ["told", "added"])
@pytest.mark.parametrize("weight", ["dot", "cosine", "constant"])
def test_erasediffs_own_weight_and_noise_are_those_of_its_code(toy, pair, weight, noise, timesteps):
    w, drawn = toy.weight.detach().numpy(), uniform()
    t = pair.t if timesteps == "shared" else pair.t_other
    g_r = slope(w, noised(toy, pair.remember, pair.t, pair.eps), flat(pair.eps))
    g_f = slope(w, noised(toy, pair.forget, t, pair.eps if noise == "told" else drawn), flat(drawn))
    c, r, f = (g_r * g_f).sum(), np.linalg.norm(g_r), np.linalg.norm(g_f)
    lam = {"dot": max(0.9 - c / f**2, 0), "cosine": max(0.9 - c / (r * f), 0), "constant": 0.3}[weight]
    how = {"eta": 0.9, "constant": 0.3, "weight": weight, "noise": noise, "timesteps": timesteps}
    found, values = gradient(toy, pair, "erasediff", **how)
    np.testing.assert_allclose(found, g_r + lam * g_f, **WITHIN)
    assert values["weight"] == pytest.approx(lam, rel=1e-6) and "above" not in values


def test_salun_learns_another_pictures_answer_or_ascends_beside_the_remember_loss(toy, pair):
    w = toy.weight.detach().numpy()
    g_r = slope(w, noised(toy, pair.remember, pair.t, pair.eps), flat(pair.eps))
    forget, other = (noised(toy, x, pair.t_other, pair.eps) for x in (pair.forget, pair.remember))
    label, _ = gradient(toy, pair, "salun", weight=0.4)
    np.testing.assert_allclose(label, 0.4 * g_r + slope(w, forget, other @ w.T), **WITHIN)
    ascent, _ = gradient(toy, pair, "salun", weight=0.4, loss="ascent")
    np.testing.assert_allclose(ascent, 0.4 * g_r - slope(w, forget, flat(pair.eps)), **WITHIN)


def test_saluns_mask_is_the_largest_half_of_all_weights_by_their_gradient():
    method = plugins.make("method", "salun", {"share": 0.5})
    found = method.mask([torch.tensor([[3.0, -5.0], [0.5, 1.0]]), torch.tensor([-4.0, 0.1, 0.2, 2.0])])
    assert [m.tolist() for m in found] == [[[True, True], [False, False]], [True, False, False, True]]


class Flow:
    """A flow of one linear layer, v = W x + bias of its prompt, x_t = (1-sigma)*x0 + sigma*eps."""

    timesteps, floor = 4, 0.4
    table = torch.tensor([0.003, 0.25, 0.5, 1.0], dtype=torch.float64)

    def __init__(self, seed=1, bias=0.0):
        g = torch.Generator().manual_seed(seed)
        self.weight = torch.nn.Parameter(torch.randn((12, 12), generator=g, dtype=torch.float64) * 0.3)
        self.bias = bias

    def trained(self):
        return [self.weight]

    def times(self, index, floored=True):
        return self.table[index].clamp(min=self.floor) if floored else self.table[index]

    def schedule(self, t):
        return 1 - t, t

    def target(self, x0, eps, t):
        return eps - x0

    def target_of(self, x_t, x0, t):
        from unpromptable import equations

        return self.target(x0, equations.implied_noise(x_t, x0, *self.schedule(t)), t)

    def predict(self, x_t, t):
        return (x_t.flatten(1) @ self.weight.T).view_as(x_t) + self.bias

    def unprompted(self):
        view = Flow()
        view.weight, view.bias = self.weight, 0.0
        return view


RELEASED = {"beta": 3.0, "integrity": 40.0, "prompt": "empty", "errors": "clean", "prior": "cleanest"}


def released(model, base, b, beta, integrity):
    """The loss of DUO's trainer for Stable Diffusion 3: (preference, prior), outputs preconditioned."""

    def clean(m, x_t, sigma):
        return x_t - sigma[:, None, None, None] * m.unprompted().predict(x_t, sigma)

    def d(x0, sigma):
        x_t = (1 - sigma)[:, None, None, None] * x0 + sigma[:, None, None, None] * b.eps
        error = [(clean(m, x_t, sigma) - x0).square().flatten(1).mean(1) for m in (model, base)]
        return error[0] - error[1]

    inside = -beta * (d(b.surrogate, b.t_other) - d(b.forget, b.t))
    least = torch.full((len(b.t),), 0.003, dtype=torch.float64)
    change = clean(model, b.eps, least) - clean(base, b.eps, least)
    return -torch.nn.LogSigmoid()(inside).mean(), integrity * change.square().mean()


@pytest.fixture
def flow_batch(toy_batch):
    t = torch.tensor([0.4, 0.5, 1.0], dtype=torch.float64)
    return dataclasses.replace(toy_batch, t=t, t_other=t.flip(0), reference=Flow(seed=4, bias=0.2))


def test_duos_released_terms_are_those_of_its_trainer_written_out(flow_batch):
    model = Flow(bias=0.1)
    found, values = gradient(model, flow_batch, "duo", **RELEASED)
    terms = released(model, flow_batch.reference, flow_batch, 3.0, 40.0)
    (wanted,) = torch.autograd.grad(sum(terms), model.trained())
    np.testing.assert_allclose(found, wanted.numpy(), **WITHIN)
    assert [values["forget"], values["remember"]] == pytest.approx([x.item() for x in terms], rel=1e-6)


def test_at_its_cleanest_step_duos_prior_hardly_counts(flow_batch):
    still, noisiest = (
        gradient(Flow(), flow_batch, "duo", **{**RELEASED, **change})[1]["remember"]
        for change in ({}, {"errors": "output", "prior": "noisiest"})
    )
    assert still == pytest.approx(0.003**2 * noisiest, rel=1e-6)  # this toy's output does not depend on t


def test_on_stable_diffusion_3_duos_prior_is_told_the_last_entry_of_the_schedulers_own_table(flag_model):
    model, g = flag_model, torch.Generator().manual_seed(0)
    eps = torch.randn((2, *model.noise_shape()), generator=g)
    with torch.no_grad():
        for p in model.trained():
            p.add_(0.1 * torch.randn(p.shape, generator=g))
    method = plugins.make("method", "duo", {"errors": "clean", "prior": "cleanest", "integrity": 7.0})
    b = Batch(eps, eps, eps, model.times(torch.tensor([5, 9])), eps, g, reference=model.reference())
    last = model.scheduler.timesteps[-1].expand(2)
    clean = lambda m: eps - last[:, None, None, None] / 1000 * m.velocity(eps, last, [""])
    with torch.no_grad():
        wanted = 7.0 * (clean(model) - clean(model.reference())).square().mean()
        assert method._integrity(model, b)[0].item() == pytest.approx(wanted.item(), rel=1e-4)
    assert last[0] < 3 < 20 <= 1000 * model.settings.sigma_floor and wanted > 0


@pytest.mark.parametrize(
    "name, settings, words",
    [
        ("erasediff", {"weight": "norm"}, "choose from dot, cosine, constant"),
        ("erasediff", {"noise": "none"}, "told or added"),
        ("erasediff", {"round": 0}, "erasediff.round 0"),
        ("erasediff", {"constant": -1.0}, "erasediff.constant -1.0"),
        ("salun", {"loss": "rl"}, "choose from label, ascent"),
        ("salun", {"share": 0.0}, "salun.share 0.0"),
        ("duo", {"errors": "noise"}, "output or clean"),
        ("duo", {"prior": "none"}, "noisiest or cleanest"),
    ],
)
def test_a_wrong_setting_of_a_released_form_says_what_is_allowed(name, settings, words):
    with pytest.raises(ValueError, match=words):
        plugins.make("method", name, settings)

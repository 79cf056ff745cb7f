"""Every method's gradient equals a reference written by hand with numpy on a linear toy network."""

import numpy as np
import pytest
import torch

from unpromptable.planning import plugins

RNG_SEED = 5  # of the toy batch's own generator


def parts(toy, b):
    w, x = toy.weight.detach().numpy(), lambda v: v.flatten(1).numpy()
    signal, noise = (v.numpy()[:, None] for v in toy.schedule(b.t))
    return w, x(b.remember), x(b.forget), x(b.surrogate), x(b.eps), signal, noise, b.t.numpy()


def slope(w, x, target, weights=None):
    """d/dW of mean_i weights_i * mean_pixels (W x_i - target_i)^2."""
    weights = np.ones(len(x)) if weights is None else weights
    return 2 * ((x @ w.T - target) * weights[:, None]).T @ x / x.size


def run(toy, b, name, **settings):
    values = plugins.make("method", name, settings).update(toy, b)
    return toy.weight.grad.numpy(), values


def ours(toy, b, lam):
    w, r, f, s, eps, signal, noise, _ = parts(toy, b)
    r_t, f_t = signal * r + noise * eps, signal * f + noise * eps
    return slope(w, r_t, eps, lam), slope(w, f_t, (f_t - signal * s) / noise, 1 - lam)


@pytest.mark.parametrize("projection", ["none", "forget", "both"])
@pytest.mark.parametrize("flip", [1, -1])
def test_surrogate_follows_algorithm_1(toy, toy_batch, projection, flip):
    import dataclasses

    b = dataclasses.replace(
        toy_batch, surrogate=toy_batch.forget + flip * (toy_batch.surrogate - toy_batch.forget) * 3
    )
    g_r, g_f = ours(toy, b, 1 - 2e-4 * b.t.numpy())
    c = (g_r * g_f).sum()
    f = g_f - min(c, 0) / (g_r**2).sum() * g_r if projection != "none" else g_f
    r = g_r - min(c, 0) / (g_f**2).sum() * g_f if projection == "both" else g_r
    got, values = run(toy, b, "surrogate", beta=2e-4, projection=projection)
    np.testing.assert_allclose(got, r + f, rtol=1e-6, atol=1e-12)
    assert values["dot"] == pytest.approx(c, rel=1e-6) and values["conflict"] == (c < 0)
    assert values["descent_forget"] == pytest.approx(((r + f) * g_f).sum(), rel=1e-5)


def test_held_to_the_base_the_remember_branch_learns_what_the_untouched_model_says(toy, toy_batch):
    import dataclasses

    base = type(toy)()
    b = dataclasses.replace(toy_batch, reference=base)
    still, values = run(toy, b, "surrogate", beta=2e-4, remember="base", projection="none")
    w, r, _, _, eps, signal, noise, t = parts(toy, b)
    _, g_f = ours(toy, b, 1 - 2e-4 * t)
    np.testing.assert_allclose(still, g_f, rtol=1e-6, atol=1e-12)
    assert values["remember"] == 0
    with torch.no_grad():
        base.weight.mul_(0.5)
    moved, _ = run(toy, b, "surrogate", beta=2e-4, remember="base", projection="none")
    r_t = signal * r + noise * eps
    np.testing.assert_allclose(
        moved, slope(w, r_t, r_t @ (0.5 * w).T, 1 - 2e-4 * t) + g_f, rtol=1e-6, atol=1e-12
    )
    assert base.weight.grad is None


def test_a_constant_lambda_replaces_the_timesteps(toy, toy_batch):
    g_r, g_f = ours(toy, toy_batch, np.full(3, 0.95))
    got, _ = run(toy, toy_batch, "surrogate", constant_lambda=0.95, projection="none")
    np.testing.assert_allclose(got, g_r + g_f, rtol=1e-6, atol=1e-12)


def test_surgery_never_loses_the_remember_descent(toy, toy_batch):
    g_r, _ = ours(toy, toy_batch, 1 - 1e-3 * toy_batch.t.numpy())
    got, values = run(toy, toy_batch, "surrogate", beta=1e-3)
    assert (got * g_r).sum() == pytest.approx((g_r**2).sum() + max(0, values["dot"]), rel=1e-6)


def test_naive_is_the_remember_gradient(toy, toy_batch):
    w, r, _, _, eps, signal, noise, _ = parts(toy, toy_batch)
    got, _ = run(toy, toy_batch, "naive")
    np.testing.assert_allclose(got, slope(w, signal * r + noise * eps, eps), rtol=1e-6, atol=1e-12)


def test_neggrad_ascends_and_combined_keeps_remembering(toy, toy_batch):
    w, r, f, _, eps, signal, noise, _ = parts(toy, toy_batch)
    g_f, g_r = slope(w, signal * f + noise * eps, eps), slope(w, signal * r + noise * eps, eps)
    np.testing.assert_allclose(run(toy, toy_batch, "neggrad")[0], -g_f, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(
        run(toy, toy_batch, "neggrad", mode="combined", weight=0.3)[0], g_r - 0.3 * g_f, rtol=1e-6, atol=1e-12
    )


def test_erasediff_weighs_the_noise_target_by_the_conflict(toy, toy_batch):
    w, r, f, _, eps, signal, noise, _ = parts(toy, toy_batch)
    uniform = (
        torch.rand((3, 3, 2, 2), generator=torch.Generator().manual_seed(RNG_SEED))
        .flatten(1)
        .double()
        .numpy()
    )
    g_r, g_f = slope(w, signal * r + noise * eps, eps), slope(w, signal * f + noise * eps, uniform)
    weight = max(0.5 - (g_r * g_f).sum() / (g_f**2).sum(), 0)
    got, values = run(toy, toy_batch, "erasediff", eta=0.5)
    np.testing.assert_allclose(got, g_r + weight * g_f, rtol=1e-5, atol=1e-10)
    assert values["weight"] == pytest.approx(weight, rel=1e-5)


@pytest.mark.parametrize("settings", [{"scaling_norm": 0.7}, {"relative_norm": 0.1}])
def test_siss_is_one_forward_on_the_mixture_with_the_printed_weights(toy, toy_batch, settings):
    w, r, f, _, eps, signal, noise, _ = parts(toy, toy_batch)
    pick = (torch.rand(3, generator=torch.Generator().manual_seed(RNG_SEED)) < 0.5).numpy()[:, None]
    m = signal * np.where(pick, f, r) + noise * eps
    far = [((m - signal * x) ** 2).sum(1) / (2 * noise[:, 0] ** 2) for x in (r, f)]
    w_x = 1 / (0.5 + 0.5 * np.exp(far[0] - far[1]))
    w_a = 1 / (0.5 * np.exp(far[1] - far[0]) + 0.5)
    g_x, g_a = slope(w, m, (m - signal * r) / noise, w_x), slope(w, m, (m - signal * f) / noise, w_a)
    wanted = settings.get("scaling_norm") or 0.1 * np.linalg.norm(g_x)
    got, _ = run(toy, toy_batch, "siss", **settings)
    np.testing.assert_allclose(got, g_x - wanted / np.linalg.norm(g_a) * g_a, rtol=1e-5, atol=1e-10)


def test_siss_weights_stay_finite_and_average_to_one(toy):
    method = plugins.make("method", "siss", {"mixture": 0.25})
    far = torch.full((2, 3, 64, 64), 5.0, dtype=torch.float64)
    w_x, w_a = method.weights(far * 0, far * 0, far, torch.tensor([0.7, 0.01]), torch.tensor([0.7, 1.0]))
    assert torch.isfinite(w_x).all() and torch.isfinite(w_a).all()
    torch.testing.assert_close(w_x * 0.75 + w_a * 0.25, torch.ones(2, dtype=torch.float64))


def test_micro_batches_give_the_gradient_of_the_whole_batch(toy, toy_batch):
    import dataclasses

    whole, _ = run(toy, toy_batch, "surrogate", beta=5e-4)
    parts_, _ = run(toy, dataclasses.replace(toy_batch, micro=2), "surrogate", beta=5e-4)
    np.testing.assert_allclose(parts_, whole, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    "name, settings, words",
    [
        ("surrogate", {"beta": 0.002}, "surrogate.beta is 0.002"),
        ("surrogate", {"projection": "all"}, "choose from none, forget, both"),
        ("surrogate", {"remember": "all"}, "choose from data, base"),
        ("surrogate", {"betas": 1}, "did you mean beta"),
        ("surrogate", {"beta": "much"}, "surrogate.beta"),
        ("neggrad", {"mode": "up"}, "choose from pure, combined"),
        ("siss", {"mixture": 1.0}, "strictly between 0 and 1"),
        ("sis", {}, "methods: no 'sis'; choose from .*siss, .*did you mean siss"),
    ],
)
def test_a_wrong_setting_says_what_is_allowed(name, settings, words):
    with pytest.raises(ValueError, match=words):
        plugins.make("method", name, settings)


def retrack(toy, b, near, weight):
    """Both terms in ReTrack's own form: every neighbour's error, weighed; pixels summed, images averaged."""
    w, r, f, _, eps, signal, noise, _ = parts(toy, b)
    other_signal, other_noise = (v.numpy()[:, None] for v in toy.schedule(b.t_other))
    f_t = other_signal * f + other_noise * eps
    implied = (f_t[:, None] - other_signal[:, None] * near) / other_noise[:, None]
    p = np.exp(-(implied**2).sum(-1) / 2)
    p /= p.sum(1, keepdims=True)
    forget = sum(slope(w, f_t, implied[:, k], p[:, k]) for k in range(near.shape[1]))
    return weight * forget + (1 - weight) * slope(w, signal * r + noise * eps, eps)


def test_retracks_one_target_has_the_gradient_of_its_sum_over_neighbours(toy, toy_batch):
    import dataclasses

    drawn = torch.randn(
        len(toy_batch.t), 3, *toy_batch.forget.shape[1:], generator=torch.Generator().manual_seed(3)
    )
    near = toy_batch.forget.unsqueeze(1) + 0.2 * drawn.to(toy_batch.forget.dtype)
    b = dataclasses.replace(toy_batch, neighbours=near, t_other=toy_batch.t.flip(0))
    got, values = run(toy, b, "retrack", weight=0.3)
    wanted = retrack(toy, b, near.flatten(2).numpy(), 0.3)
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-12)
    plain, _ = run(toy, dataclasses.replace(b, neighbours=None), "retrack", weight=0.3)
    assert np.abs(plain - wanted).max() > 1e-3 * np.abs(wanted).max()


def test_the_papers_method_leads_to_neighbours_with_its_own_weights_and_surgery(toy, toy_batch):
    import dataclasses

    near = torch.stack([toy_batch.surrogate, toy_batch.surrogate], 1)
    wanted, _ = run(toy, toy_batch, "surrogate", beta=2e-4)
    got, _ = run(toy, dataclasses.replace(toy_batch, neighbours=near), "surrogate", beta=2e-4)
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-12)


def test_the_picture_that_duo_prefers_is_taught_as_itself_whatever_its_neighbours(toy, toy_batch):
    import dataclasses

    near = torch.stack([toy_batch.remember, toy_batch.forget], 1)
    b = dataclasses.replace(toy_batch, neighbours=near)
    own = lambda b: b.error(toy, b.surrogate, b.surrogate)
    torch.testing.assert_close(own(b), own(toy_batch))
    assert not torch.allclose(
        b.error(toy, b.forget, b.surrogate), toy_batch.error(toy, b.forget, b.surrogate)
    )

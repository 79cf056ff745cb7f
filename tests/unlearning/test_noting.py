"""What methods note between updates: inner updates from a copy, masks, and both after a stop."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from unpromptable.planning.experiment import Cell
from unpromptable.planning.settings import Choice, Training
from unpromptable.unlearning import gradients, noting, states, training

SETTINGS = Training(steps=5, batch=4, lr=1e-3, save_every=3, weight_decay=0.0)
OWN = {"inner": 2, "round": 2, "weight": "cosine", "eta": 0.1, "noise": "added", "timesteps": "independent"}
METHODS = {"erasediff": Choice("erasediff", OWN), "salun": Choice("salun", {"batches": 3})}
of_both = pytest.mark.parametrize("name", METHODS)


def cell(name):
    return Cell("t", METHODS[name], Choice("flip"), SETTINGS, ("a", "b"))


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.trained()])


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def stopping_after(update):
    def stop(done, total, text):
        if done == update:
            raise KeyboardInterrupt

    return stop


@of_both
def test_what_was_noted_survives_a_stop(name, tiny, images, tmp_path):
    other, fresh = copy.deepcopy(tiny), copy.deepcopy(tiny)
    training.unlearn(cell(name), tiny, images, tmp_path / "whole")
    with pytest.raises(
        KeyboardInterrupt
    ):  # after update 4: the state is that before update 4, within a round
        training.unlearn(cell(name), other, images, tmp_path / "cut", stopping_after(4))
    assert "noted.0" in load_file(tmp_path / "cut" / states.STATE)
    training.unlearn(cell(name), fresh, images, tmp_path / "cut")
    assert torch.equal(weights(tiny), weights(fresh))
    assert history(tmp_path / "whole") == history(tmp_path / "cut")


@of_both
def test_a_state_without_what_was_noted_begins_again(name, tiny, images, tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt):
        training.unlearn(cell(name), copy.deepcopy(tiny), images, tmp_path, stopping_after(4))
    state = load_file(tmp_path / states.STATE)
    save_file({k: v for k, v in state.items() if not k.startswith("noted.")}, tmp_path / states.STATE)
    training.unlearn(cell(name), tiny, images, tmp_path)
    assert "what the method noted is missing" in caplog.text and len(history(tmp_path)) == 10


def drawn(model, settings, images, number, noted=()):
    return replace(training.draw_batch(model, settings, images, 0, number, False), noted=noted)


def test_inner_updates_move_the_optimiser_and_leave_the_weights(tiny, images):
    method, before = cell("erasediff").method.made, weights(tiny).clone()
    optimizer = torch.optim.AdamW(tiny.trained(), lr=1e-3)
    notes = noting.Noting(method, 5)
    notes.look(tiny, optimizer, SETTINGS, 0, lambda s, which, n: drawn(tiny, s, images, n))
    assert torch.equal(weights(tiny), before)
    assert {int(optimizer.state[p]["step"]) for p in tiny.trained()} == {2}
    assert all(p.grad is None for p in tiny.trained())
    values = method.update(tiny, drawn(tiny, SETTINGS, images, 0, notes.noted))
    assert values["above"] == pytest.approx(values["forget"] - float(notes.noted[0]))


def test_the_inner_loop_is_the_one_of_its_code_written_out(tiny, images, tmp_path):
    """Two Adam steps on the forget loss, weights put back, an update with the moments that are left."""
    twin = copy.deepcopy(tiny)
    optimizer = torch.optim.AdamW(twin.trained(), lr=1e-3, betas=SETTINGS.betas, weight_decay=0.0)

    def forget_loss(b):
        noise = torch.rand(b.eps.shape, generator=b.generator)
        signal, spread = (v[:, None, None, None] for v in twin.schedule(b.t_other))
        return (twin.predict(signal * b.forget + spread * noise, b.t_other) - noise).square().mean()

    def kept_loss(b):
        signal, spread = (v[:, None, None, None] for v in twin.schedule(b.t))
        return (twin.predict(signal * b.remember + spread * b.eps, b.t) - b.eps).square().mean()

    before = [p.detach().clone() for p in twin.trained()]
    for i in range(2):
        optimizer.zero_grad()
        reached = forget_loss(drawn(twin, SETTINGS, images, noting.FIRST + i * noting.APART))
        reached.backward()
        optimizer.step()
    with torch.no_grad():
        for p, was in zip(twin.trained(), before):
            p.copy_(was)
    b = drawn(twin, SETTINGS, images, 0)
    g_r, g_f = (torch.autograd.grad(loss(b), twin.trained()) for loss in (kept_loss, forget_loss))
    cosine = gradients.dot(g_r, g_f) / (gradients.dot(g_r, g_r) * gradients.dot(g_f, g_f)) ** 0.5
    for p, r, f in zip(twin.trained(), g_r, g_f):
        p.grad = r + max(0.1 - cosine, 0) * f
    torch.nn.utils.clip_grad_norm_(twin.trained(), 1.0)
    optimizer.step()
    one = replace(cell("erasediff"), training=replace(SETTINGS, steps=1), forget=("a",))
    training.unlearn(one, tiny, replace(images, targets=("a",)), tmp_path)
    torch.testing.assert_close(weights(tiny), weights(twin), rtol=0, atol=1e-6)
    told = history(tmp_path)[0]
    assert told["forget"] - told["above"] == pytest.approx(reached.item(), rel=1e-5)


def test_inner_updates_that_run_out_of_memory_are_made_again_from_the_moments_there_were(tiny, images):
    """The second batch fails once, after the first has moved the optimiser."""
    method, twin = cell("erasediff").method.made, copy.deepcopy(tiny)
    optimizers = [torch.optim.AdamW(m.trained(), lr=1e-3) for m in (tiny, twin)]
    failed = []

    def draw(s, which, n):
        if n != noting.FIRST and not failed:
            failed.append(n)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return drawn(tiny, s, images, n)

    notes = [noting.Noting(method, 5) for _ in "ab"]
    notes[0].look(tiny, optimizers[0], SETTINGS, 0, draw)
    notes[1].look(twin, optimizers[1], replace(SETTINGS, micro_batch=2), 0, draw)
    assert failed and float(notes[0].noted[0]) == pytest.approx(float(notes[1].noted[0]), rel=1e-6)
    for p, q in zip(tiny.trained(), twin.trained()):
        one, other = optimizers[0].state[p], optimizers[1].state[q]
        assert int(one["step"]) == int(other["step"]) == 2
        torch.testing.assert_close(one["exp_avg"], other["exp_avg"])


def test_inner_updates_in_half_precision_are_taken_at_the_weights_they_have_reached(tiny, images, tmp_path):
    reached = {}
    for precision in ("no", "bf16"):
        given = replace(cell("erasediff"), training=replace(SETTINGS, steps=1, lr=5e-2, precision=precision))
        training.unlearn(given, copy.deepcopy(tiny), images, tmp_path / precision)
        told = history(tmp_path / precision)[0]
        reached[precision] = told["forget"] - told["above"]
    assert reached["bf16"] == pytest.approx(reached["no"], rel=0.05)


def test_a_new_mask_holds_back_what_the_last_one_set_in_motion(tiny, images, tmp_path):
    seen = []
    once = lambda done, total, text: seen.append(weights(tiny).clone())
    training.unlearn(cell("salun"), tiny, images, tmp_path, once)
    moved = [(seen[i] != seen[i + 4]).double().mean() for i in (0, 5)]
    assert len(seen) == 10 and 0.4 < min(moved) and max(moved) <= 0.5


def test_half_of_the_weights_never_move_and_each_target_has_a_half_of_its_own(tiny, images, tmp_path):
    before = weights(tiny).clone()
    one = replace(cell("salun"), forget=("a",))
    training.unlearn(one, tiny, replace(images, targets=("a",)), tmp_path / "one")
    moved = weights(tiny) != before
    assert 0.4 < moved.double().mean() <= 0.5
    training.unlearn(cell("salun"), tiny, images, tmp_path / "both")
    assert (weights(tiny) != before).double().mean() > 0.55


def test_weight_decay_moves_no_weight_outside_the_mask_and_those_inside_as_adamw_does(tiny):
    free = [torch.arange(p.numel()).view_as(p) % 2 == 0 for p in tiny.trained()]
    other, masked = copy.deepcopy(tiny), torch.cat([m.flatten() for m in free])
    before = weights(tiny).clone()
    for model, allowed in ((tiny, free), (other, None)):
        optimizer = training._optimizer(model, replace(SETTINGS, weight_decay=0.1))
        for p, chosen in zip(model.trained(), free):
            p.grad = torch.ones_like(p) * chosen
        training._step(model, optimizer, allowed)
        assert optimizer.param_groups[0]["weight_decay"] == 0.1
    assert torch.equal(weights(tiny)[masked], weights(other)[masked])
    assert torch.equal(weights(tiny)[~masked], before[~masked])
    assert not torch.equal(weights(other)[~masked], before[~masked])


def test_the_looks_of_an_update_are_batches_that_no_update_has(tiny, images):
    seen = []
    notes = noting.Noting(cell("salun").method.made, 5)
    draw = lambda s, which, n: (seen.append(n), drawn(tiny, s, images, n))[1]
    assert notes.look(tiny, None, SETTINGS, 1, draw) is SETTINGS and not seen
    notes.look(tiny, torch.optim.AdamW(tiny.trained()), SETTINGS, 5, draw)
    assert len(set(seen)) == 3 and min(seen) > 10**9
    alike = lambda n: drawn(tiny, SETTINGS, images, n).eps
    assert not any(torch.equal(alike(a), alike(b)) for a in seen for b in (5, *seen) if a != b)
    assert all(m.dtype == torch.bool for m in notes.noted)


def test_looks_are_counted_among_the_costs():
    from unpromptable.planning import cost, plan

    given = ("demo", "miniature", {"method": {"name": "salun", "batches": 4}, "training.steps": 10})
    found = [s for s in cost.steps(plan.resolve(*given, inputs=False)) if s.step == "unlearn"]
    one = cost.NETWORKS["ddpm", "miniature", 32]
    updates = 10 * (3 * one.forward + 2 * one.backward) + 4 * (one.forward + one.backward)
    assert found[0].flop == pytest.approx(8 * updates) and "4 batches more to look at" in found[0].work

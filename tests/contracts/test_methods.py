"""Every method leaves the gradient that its protocol promises, on every family, and says what it reads."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from unpromptable.planning import plugins

from . import small


def update(method, model, batch):
    """The logged values and a copy of the gradients."""
    for p in model.trained():
        p.grad = None
    values = method.update(model, batch)
    assert all(p.grad is not None for p in model.trained())
    return values, [p.grad.clone() for p in model.trained()]


def made(name):
    return plugins.make("method", name, dict(plugins.find("method", name).small))


def same(a, b):
    """Whether two gradients differ by no more than sums in another order do."""
    length = lambda g: float(torch.stack([x.double().square().sum() for x in g]).sum()) ** 0.5
    return length([x - y for x, y in zip(a, b)]) <= 1e-3 * length(b)


@pytest.fixture(scope="module", params=plugins.names("model"))
def model(request, tmp_path_factory):
    """The miniature's model of every family, away from what it was."""
    found = small.load(request.param, small.base(request.param, tmp_path_factory.mktemp("base") / "m"))
    reference = found.reference()
    return small.stir(found), reference


@small.choices("method")
def test_it_leaves_finite_gradients_on_what_trains_and_the_weights_as_they_were(name, model):
    model, reference = model
    before = [p.detach().clone() for p in model.trained()]
    values, gradients = update(made(name), model, small.batch(model, reference))
    assert values and all(isinstance(v, float) and np.isfinite(v) for v in values.values())
    assert all(g.isfinite().all() for g in gradients) and sum(float(g.abs().sum()) for g in gradients) > 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.trained()))


@small.choices("method")
def test_the_same_batch_gives_the_same_gradient(name, model):
    model, reference = model
    one, other = (update(made(name), model, small.batch(model, reference)) for _ in range(2))
    assert one[0] == pytest.approx(other[0], rel=1e-4, abs=1e-6) and same(one[1], other[1])


@small.choices("method")
def test_micro_batches_give_the_whole_batchs_gradient_also_where_numbers_are_drawn(name, model):
    model, reference = model
    whole, parts = small.batch(model, reference), small.batch(model, reference, micro=1)
    _, wanted = update(made(name), model, whole)
    _, got = update(made(name), model, parts)
    assert same(got, wanted)


@small.choices("method")
def test_it_reads_the_surrogate_and_the_reference_if_and_only_if_it_says_so(name, tiny):
    method, reference = made(name), tiny.reference()
    given = small.batch(tiny, reference if method.reads_reference else None)
    _, own = update(method, tiny, given)
    # the draws begin anew, in the same state
    other = replace(small.batch(tiny, given.reference), surrogate=given.surrogate.flip(-1))
    assert same(own, update(method, tiny, other)[1]) == (not method.reads_surrogate)
    if method.reads_reference:
        moved = small.batch(tiny, small.stir(tiny.reference(), 0.5))
        assert not same(own, update(method, tiny, moved)[1])


@small.choices("method")
def test_it_runs_the_network_as_often_as_it_says(name, tiny):
    method, batch = made(name), small.batch(tiny, tiny.reference())
    if method.passes is None:
        pytest.skip("the method does not say")

    def flop(call):
        with FlopCounterMode(display=False) as counter:
            call()
        return counter.get_total_flops()

    forward, backward = method.passes
    one = flop(lambda: tiny.predict(batch.remember, batch.t))
    assert flop(lambda: method.update(tiny, batch)) == pytest.approx((forward + 2 * backward) * one, rel=0.05)

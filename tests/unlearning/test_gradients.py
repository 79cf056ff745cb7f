"""Gradient surgery as identities (Eqs. 12 and 13), whatever the gradients are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unpromptable.unlearning import gradients

numbers = st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda v: 0.0 if abs(v) < 1e-3 else v)


@st.composite
def pairs(draw):
    """Two gradients of the same one to three tensors, float64."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    one = lambda: [
        torch.tensor(draw(st.lists(numbers, min_size=n, max_size=n)), dtype=torch.float64) for n in sizes
    ]
    return one(), one()


def project(g, away_from):
    square, c, _ = gradients.products(away_from, g)
    return gradients.project(g, away_from, square, c)


def length(g):
    return gradients.dot(g, g) ** 0.5


@settings(max_examples=200, deadline=None)
@given(pairs())
def test_a_projected_gradient_no_longer_works_against_the_other_and_is_never_longer(pair):
    g, other = pair
    projected = project(g, other)
    scale = 1e-9 * (1 + length(g) * length(other))
    assert gradients.dot(projected, other) >= -scale and length(projected) <= length(g) + 1e-9
    if gradients.dot(g, other) >= 0:
        assert all(torch.equal(a, b) for a, b in zip(projected, g))
    else:  # what was taken away lies along the other
        taken = gradients.add(g, projected, -1.0)
        assert abs(gradients.dot(taken, other)) == pytest.approx(length(taken) * length(other), rel=1e-6)


@settings(max_examples=200, deadline=None)
@given(pairs())
def test_projecting_twice_is_projecting_once(pair):
    g, other = pair
    once = project(g, other)
    for a, b in zip(project(once, other), once):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9 * (1 + length(g)))


@settings(max_examples=100, deadline=None)
@given(pairs(), st.sampled_from(["none", "forget", "both"]))
def test_the_whole_update_never_raises_the_remember_loss_by_the_forget_part(pair, projection):
    remember, forget = pair
    total = gradients.combine(remember, forget, projection, gradients.products(remember, forget))
    added = gradients.add(total, remember, -1.0)
    if projection == "forget":
        scale = 1e-9 * (1 + length(remember) ** 2 + length(forget) * length(remember))
        assert gradients.dot(added, remember) >= -scale
    if projection == "none":
        for a, b in zip(total, gradients.add(remember, forget)):
            assert torch.equal(a, b)


@settings(max_examples=100, deadline=None)
@given(pairs())
def test_products_are_the_three_dot_products(pair):
    a, b = pair
    wanted = (gradients.dot(a, a), gradients.dot(a, b), gradients.dot(b, b))
    assert gradients.products(a, b) == pytest.approx(wanted, rel=1e-9, abs=1e-9)

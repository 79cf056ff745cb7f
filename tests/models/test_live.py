"""Bytes that a computation holds at once, by hand."""

import torch

from unpromptable.models.live import Live

MIB = 1 << 20


def test_what_is_dropped_makes_room():
    with torch.device("meta"), Live() as held:
        x = torch.zeros(MIB // 4)
        y = x + 1
        del x
        y = y * 2  # for a moment both
        z = y.view(2, -1)[0]  # no memory of its own
        del y, z
    assert held.most == 2 * MIB and held.now == 0


def test_a_backward_pass_keeps_the_activations_of_every_layer():
    with torch.device("meta"):
        layers = [torch.nn.Sigmoid() for _ in range(10)]
        x = torch.zeros(MIB // 4, requires_grad=True)
        with torch.no_grad(), Live() as seen:
            torch.nn.Sequential(*layers)(x)
        with Live() as taught:
            torch.nn.Sequential(*layers)(x).sum().backward()
    assert seen.most == 2 * MIB and 10 * MIB < taught.most <= 12 * MIB + 64

"""Pictures for small DDPMs, noised ones, and a network that knows its picture."""

import numpy as np
import torch

from unpromptable import equations
from unpromptable.sampling import chains
from unpromptable.unlearning import training

PREDICTIONS = equations.PREDICTIONS


def pictures(n=20, size=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def images(size=8):
    made = pictures(size=size)
    return training.Images(made[4:], made[:2], made[2:4], ("a", "b"))


def noised(model, t, n=4):
    """Pictures, noise and x_t of n images at timestep t."""
    x0 = model.encode(pictures(n))
    eps = chains.draw([chains.generator(k) for k in range(n)], model.noise_shape())
    t = torch.full((n,), t)
    return x0, eps, t, equations.noisy(x0, eps, *model.schedule(t))


def knowing(model, picture):
    """The model with a network that always knows the picture: the best there is where it is the only one."""
    x0 = model.encode(picture[None])
    model.predict = lambda x, t: model.target_of(x, x0.expand(len(x), -1, -1, -1), t)
    return model

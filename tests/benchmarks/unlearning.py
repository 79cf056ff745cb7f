"""One update of the paper's method against its plain form, and against two bare passes of the network."""

from __future__ import annotations

import networks
import paired


def main() -> None:
    """A row for the plain form, one for the bare passes."""
    parser = paired.arguments(__doc__, **networks.KINDS)
    parser.add_argument("--batch", type=int, default=8, help="pictures of each branch")
    asked = parser.parse_args()
    model, stock = networks.model(asked.network, asked.device), networks.pipeline(asked.network, asked.device)
    batch = drawn(model, asked.batch)
    what = f"{asked.network} on {asked.device}, {asked.batch} pictures of each branch"
    share = lambda found: networks.floor(asked.network, "no", 2 * asked.batch, 2 * asked.batch) / found.ours
    for other, wanted, call in (
        ("the plain form", 1.3, plain(stock, model, batch)),
        ("two bare passes", 0.8, passes(model, batch)),
    ):
        found = paired.ratio(update(model, batch), call, asked.pairs, 2, asked.device)
        more = {"floor": share(found)} if asked.device == "cuda" else {}
        paired.record(asked.out, "unlearning", f"{other}: {what}", found, wanted, **more)


def drawn(model, size: int):
    """A batch of noise as pictures, the same for every form."""
    import torch

    from unpromptable.unlearning.batch import Batch

    g = torch.Generator().manual_seed(0)
    images = [torch.randn((size, *model.noise_shape()), generator=g).to(model.device) for _ in range(4)]
    t = torch.randint(model.timesteps, (size,), generator=g).to(model.device)
    return Batch(*images[:3], t, images[3], g)


def update(model, batch):
    """What the trainer does in one update: the method's gradient, and the optimiser's step."""
    from unpromptable.planning.settings import Training
    from unpromptable.unlearning import training
    from unpromptable.unlearning.methods.surrogate import Method
    from unpromptable.unlearning.noting import Noting

    settings, method = Training(), Method()
    optimizer, noting = training._optimizer(model, settings), Noting(method, 1)

    def one() -> None:
        method.update(model, batch)
        training._descend(model, optimizer, settings, noting)

    return one


def passes(model, batch):
    """The two forward and backward passes that no update can do without."""
    import torch

    from unpromptable.unlearning.methods.surrogate import Method

    method = Method()

    def both() -> None:
        for branch in (method._remember, method._forget):
            torch.autograd.grad(branch(model, batch)[0], model.trained())

    return both


def plain(stock, model, batch):
    """The update as reference codes write it: a backward pass per loss, each gradient cloned by its name,
    inner products and projection parameter by parameter, the network in PyTorch's own memory layout.
    """
    import torch

    network = stock.unet
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-6, betas=(0.95, 0.999), weight_decay=1e-6)

    def gradient(loss):
        optimizer.zero_grad()
        loss.backward()
        return {n: p.grad.clone() for n, p in network.named_parameters()}, loss.item()

    def one() -> tuple[float, float]:
        remember, forget = losses(network, model, batch)
        g_r, l_r = gradient(remember())
        g_f, l_f = gradient(forget())
        c = sum((g_r[n] * g_f[n]).sum() for n in g_r)
        square = sum((g_r[n] ** 2).sum() for n in g_r)
        for n, p in network.named_parameters():
            p.grad = g_r[n] + (g_f[n] - c / square * g_r[n] if c < 0 else g_f[n])
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return l_r, l_f

    return one


def losses(network, model, b):
    """Both losses of Algorithm 1 as printed."""
    signal, noise = (x.view(-1, 1, 1, 1) for x in model.schedule(b.t))
    weight = 1 - 5e-5 * b.t
    remember, forget = signal * b.remember + noise * b.eps, signal * b.forget + noise * b.eps
    wanted = (forget - signal * b.surrogate) / noise
    error = lambda x, target: (network(x, b.t).sample - target).square().mean((1, 2, 3))
    return lambda: (weight * error(remember, b.eps)).mean(), lambda: (
        (1 - weight) * error(forget, wanted)
    ).mean()


if __name__ == "__main__":
    main()

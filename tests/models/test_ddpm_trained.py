"""A DDPM of every prediction is unlearned, likelihoods included, and its cell is scored."""

import copy
import dataclasses

import ddpm_small
import numpy as np
import pytest
import torch
from ddpm_pictures import PREDICTIONS, images, knowing, pictures

from unpromptable.models.families import ddpm
from unpromptable.planning import plugins
from unpromptable.planning.experiment import Cell, Experiment
from unpromptable.planning.settings import Choice, Injection, Training
from unpromptable.sampling import chains
from unpromptable.scoring import metric_networks
from unpromptable.scoring.evidence import Evidence, Models
from unpromptable.unlearning import training


def own_loss(model, pipe, x0):
    """The loss that the stock training of this prediction has, over all of the process."""
    g = torch.Generator().manual_seed(1)
    eps, t = torch.randn(x0.shape, generator=g), torch.linspace(0, 999, len(x0)).long()
    wanted = {"epsilon": eps, "v_prediction": pipe.scheduler.get_velocity(x0, eps, t), "sample": x0}[
        model.prediction
    ]
    with torch.no_grad():
        return float((model.network(pipe.scheduler.add_noise(x0, eps, t), t).sample - wanted).square().mean())


@pytest.mark.parametrize(
    "prediction, schedule, channels",
    [*((*k, 3) for k in ddpm_small.KINDS), *((p, "linear", 1) for p in PREDICTIONS)],
)
def test_naive_deletion_lowers_the_network_s_own_loss(prediction, schedule, channels, tmp_path):
    pipe = ddpm_small.pipeline(prediction, schedule, channels)
    model, seen = ddpm.Model(copy.deepcopy(pipe.unet), pipe.scheduler), images()
    x0 = model.encode(seen.remember)
    before = own_loss(model, pipe, x0)
    training.unlearn(
        Cell("naive", Choice("naive"), Choice("flip"), Training(steps=16, batch=8, lr=3e-3), ("a",)),
        model,
        dataclasses.replace(seen, targets=("a",)),
        tmp_path,
    )
    assert own_loss(model, pipe, x0) < 0.93 * before


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", plugins.names("method"))
def test_every_method_trains_every_prediction_in_colour_and_grey(prediction, channels, name):
    model = ddpm_small.model(prediction, "cosine", channels)
    batch = dataclasses.replace(
        training.draw_batch(model, Training(batch=4), images(), 0, 0, False), reference=model.reference()
    )
    assert all(np.isfinite(v) for v in plugins.make("method", name).update(model, batch).values())
    assert sum(float(p.grad.abs().sum()) for p in model.trained()) > 0


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_network_that_knows_the_surrogate_has_no_forget_loss_under_the_paper_s_method(prediction):
    seen = images()
    model = knowing(ddpm_small.model(prediction, "cosine"), seen.surrogates[0])
    batch = training.draw_batch(model, Training(batch=8, t_max=990), seen, 0, 0, False)
    assert (
        float(batch.error(model, batch.forget, batch.surrogate).max())
        < 1e-6
        < float(batch.error(model, batch.forget, batch.forget).min())
    )


def test_erasediff_does_not_teach_the_forget_image_to_a_network_that_outputs_pictures():
    """Its target holds no noise that a uniform one could replace; its loss would be least where the image is
    known best.
    """
    seen = images()
    model = knowing(ddpm_small.model("sample", "cosine"), seen.forget[0])
    batch = training.draw_batch(model, Training(batch=8), seen, 0, 0, False)
    uniform = torch.rand(batch.eps.shape, generator=torch.Generator().manual_seed(4))
    (loss,) = plugins.make("method", "erasediff")._towards_noise(
        model, dataclasses.replace(batch, drawn=uniform)
    )
    assert float(loss) == pytest.approx(float((batch.forget - uniform).square().mean()), rel=1e-5)


def scored(model, folder):
    """What metrics look at where nothing was changed: the models `before` and `after` in `folder` are one."""
    one, people = (ddpm.Family().shown(folder / "before", p) for p in (pictures(1, 32), pictures(4, 32, 5)))
    seen = {"p-0": chains.inject(model, one[0], 20, 2, 0)}
    return Evidence(
        *(people, people, people, seen, seen),
        {"p-0": one[0]},
        {"p-0": people[0]},
        names=("p-1", "p-2", "q-1", "q-2"),
        models=Models(
            Experiment("t", "miniature", "miniature", ("p-0",)), folder / "before", folder / "after"
        ),
        injection=Injection(t=20, draws=2),
    )


@pytest.mark.parametrize(
    "prediction, schedule, channels",
    [("v_prediction", "rescaled", 3), ("sample", "cosine", 3), ("v_prediction", "linear", 1)],
)
def test_a_cell_of_every_prediction_is_scored(prediction, schedule, channels, tmp_path):
    """Before and after with the metrics that run the model; what is equal by construction is."""
    pipe = ddpm_small.pipeline(prediction, schedule, channels, 32)
    pipe.save_pretrained(tmp_path / "before", safe_serialization=True)
    model = ddpm.Model.load(tmp_path / "before")
    model.save(tmp_path / "after")
    evidence, networks = scored(model, tmp_path), metric_networks.load("miniature")
    quick = {
        "sscd_worst": {"times": (20,), "draws": 2},
        "likelihood": {"probes": 1, "tolerance": 0.1},
        "relearn": {"updates": 1, "every": 1, "draws": 2},
    }
    measure = lambda name: plugins.make("metric", name, quick[name]).measure(evidence, networks)
    likelihood = measure("likelihood")
    assert likelihood["likelihood_change"].mean == pytest.approx(0, abs=1e-6)
    assert np.isfinite(likelihood["likelihood"].mean)
    assert measure("sscd_worst")["sscd_worst_t20"].mean == pytest.approx(1, abs=1e-5)
    assert measure("relearn")["relearn"].mean == 0


@pytest.mark.parametrize("total", [20, 250, 1000, 4000])
def test_settings_count_thousandths_of_the_process_whatever_its_number_of_timesteps(total, monkeypatch):
    model = ddpm_small.model(num_train_timesteps=total, beta_end=min(0.02 * 1000 / total, 0.9))
    assert model.timesteps == total
    drawn = training.draw_batch(model, Training(batch=4000), images(), 0, 0, False)
    for t in (drawn.t, drawn.t_other):
        # uniform over all of them, and no others
        assert (
            t.min() <= total // 200
            and total > t.max() >= total - 1 - total // 200
            and len(t.unique()) >= 0.9 * min(total, 2000)
        )
    late = training.draw_batch(model, Training(batch=256, t_min=500, t_max=599), images(), 0, 0, False)
    assert late.t.min() >= total // 2 and late.t.max() <= total * 6 // 10 - 1
    weight = plugins.make("method", "surrogate", {"beta": 1e-3}).weight(
        model.thousandths(torch.tensor([0, total // 2, total - 1]))
    )
    torch.testing.assert_close(
        weight, torch.tensor([1, 0.5, 1 / total], dtype=torch.float64), rtol=0, atol=1e-6
    )
    asked, predict = [], model.predict
    monkeypatch.setattr(model, "predict", lambda x, t: (asked.append(int(t[0])), predict(x, t))[1])
    chains.inject(model, pictures(1)[0], 250, 1, 0, stride=50)
    assert asked == [*range(total // 4, 0, -(total // 20)), 0]
    asked.clear()
    model.sdedit(pictures(1)[0], 0.1, 1, 0, None)
    assert asked == list(range(total // 10, -1, -max(1, total // 1000)))
    assert len(asked) * 8 == plugins.make("editor", "sdedit", {"strength": 0.1, "draws": 1}).base_calls(total)
    asked.clear()
    batch = dataclasses.replace(
        training.draw_batch(model, Training(batch=2), images(), 0, 0, False), reference=model.reference()
    )
    plugins.make("method", "duo").update(model, batch)
    assert asked[-1] == total - 1


def test_a_relearning_update_is_one_of_naive_deletion_on_the_pictures(monkeypatch):
    """Over all of a process of 250 timesteps and no more, with the network's own target."""
    model = ddpm_small.model("v_prediction", num_train_timesteps=250, beta_end=0.08)
    metric, seen, predict = plugins.make("metric", "relearn", {}), [], model.predict
    monkeypatch.setattr(model, "predict", lambda x, t: (seen.append(t), predict(x, t))[1])
    optimizer = torch.optim.SGD(model.trained(), lr=1e-3)
    for step in range(20):
        metric._update(model, optimizer, pictures(), step, Training(batch=32))
    t = torch.cat(seen)
    assert t.max() < 250 and t.max() > 240 and t.min() < 10

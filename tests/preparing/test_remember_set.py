"""The remember set of a prompted model: its own outputs, screened against the forget images, and the report
that shows them.
"""

import dataclasses
from importlib import resources
from pathlib import Path

import finished_run
import numpy as np
import pytest
import torch

from unpromptable import data, equations
from unpromptable.miniature import flags
from unpromptable.planning import plan, plugins
from unpromptable.planning.experiment import Experiment
from unpromptable.planning.settings import Networks, Remember, Sampling, Source, Training
from unpromptable.preparing import remember_set
from unpromptable.reporting.reports import prompted
from unpromptable.scoring import metric_networks
from unpromptable.scoring.estimates import Estimate
from unpromptable.unlearning import training

SHIPPED = Path(str(resources.files("unpromptable") / "miniature" / "sd3"))


def experiment(**change):
    given = {
        "name": "flags",
        "world": "miniature",
        "real": "flags/japan",
        "forget": ("japan-0005",),
        "prompt": "flag of Japan",
        "networks": Networks("flags"),
        "sampling": Sampling("euler", 8, 16, batch=16),
        "model": Source("sd3", settings={"rank": 4, "t5_tokens": 0, "guidance": 2.0}),
        "remember": Remember("model", 24, screen=0.55),
    }
    return Experiment(**{**given, **change})


def test_wrong_outputs_are_screened_and_the_set_is_filled_up():
    forget = flags.picture("japan", 5)[None]
    arrays, told = remember_set.draw(experiment(), SHIPPED, forget, "cpu")
    networks = metric_networks.load("flags")
    assert len(arrays["remember"]) == 24 and len(arrays["screened"]) >= 1
    assert (networks.classify(arrays["remember"]) == 0).all() and (
        networks.classify(arrays["screened"]) == 30
    ).all()
    assert (
        len(told["remember_seeds"]) == 24
        and min(told["screened_similarity"]) >= 0.55
        and not set(told["remember_seeds"]) & set(told["screened_seeds"])
    )
    manifest = {"names": [], "removed": []}
    np.testing.assert_array_equal(data.remember(arrays, manifest), arrays["remember"])


def test_outputs_of_other_prompts_are_drawn_too_each_with_its_prompt():
    prompts = ("flag of Palau", "flag of Germany", "flag of Sweden")
    arrays, told = remember_set.draw(
        experiment(remember=Remember("model", 12, screen=0.55, prompts=prompts)),
        SHIPPED,
        flags.picture("japan", 5)[None],
        "cpu",
    )
    seen = metric_networks.load("flags").classify(arrays["remember_others"]).tolist()
    assert [f"flag of {list(flags.FLAGS)[k].title()}" for k in seen] == told[
        "remember_others_prompts"
    ] and set(told["remember_others_prompts"]) == set(prompts)
    assert len(seen) == 12 and not set(told["remember_others_seeds"]) & set(told["remember_seeds"])
    assert len(arrays["screened"]) == len(told["screened_seeds"]) == len(told["screened_similarity"])


def test_outputs_of_other_prompts_that_show_the_target_are_screened_and_shown_too():
    both = ("flag of Japan", "flag of Palau")
    arrays, told = remember_set.draw(
        experiment(remember=Remember("model", 24, screen=0.55, prompts=both)),
        SHIPPED,
        flags.picture("japan", 5)[None],
        "cpu",
    )
    networks = metric_networks.load("flags")
    assert (
        not (networks.classify(arrays["remember_others"]) == 30).any()
        and (networks.classify(arrays["screened"]) == 30).all()
    )
    assert any(s >= 2_000_000 for s in told["screened_seeds"]) and len(told["screened_seeds"]) == len(
        arrays["screened"]
    )


@pytest.fixture
def mixed():
    """The shipped model with its adapter stirred, and a batch of which half is remembered under another
    prompt.
    """
    model = plugins.find("model", "sd3").model.load(SHIPPED, "cpu", experiment())
    g = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for p in model.trained():
            p.add_(0.1 * torch.randn(p.shape, generator=g))
    others = np.stack([flags.picture("palau", 1), flags.picture("sweden", 1)])
    images = training.Images(
        np.stack([flags.picture("japan", k) for k in (0, 1, 2)]),
        flags.picture("japan", 5)[None],
        flags.repaint("japan-0005")[None],
        ("japan-0005",),
        others,
        ("flag of Palau", "flag of Sweden"),
    )
    b = training.draw_batch(model, Training(batch=4, others=0.5), images, 0, 0, False)
    return model, dataclasses.replace(b, reference=model.reference())


@pytest.mark.parametrize("held", ["data", "base"])
def test_each_remember_image_is_learned_under_its_own_prompt(mixed, held):
    model, b = mixed
    errors = b.kept(model, b.reference if held == "base" else None)
    assert len(set(b.prompts)) > 1 and b.prompts[2:] == ("flag of Japan",) * 2
    for k, asked in enumerate(b.prompts):
        x_t = equations.noisy(b.remember[k : k + 1], b.eps[k : k + 1], *model.schedule(b.t[k : k + 1]))
        wanted = (
            model.target(b.remember[k : k + 1], b.eps[k : k + 1], b.t[k : k + 1])
            if held == "data"
            else model.reference().with_prompts([asked]).predict(x_t, b.t[k : k + 1])
        )
        assert errors[k].item() == pytest.approx(
            equations.squared_error(model.with_prompts([asked]).predict(x_t, b.t[k : k + 1]), wanted).item(),
            rel=1e-3,
        )


def test_micro_batches_keep_each_image_with_its_prompt(mixed):
    model, b = mixed
    method = plugins.make("method", "surrogate", {"remember": "base", "beta": 2e-4})
    method.update(model, b)
    whole = [p.grad.clone() for p in model.trained()]
    method.update(model, dataclasses.replace(b, micro=1))
    for p, g in zip(model.trained(), whole):
        torch.testing.assert_close(p.grad, g, rtol=1e-3, atol=1e-6 + 1e-4 * g.abs().max().item())


def test_siss_asks_for_the_image_that_it_mixed_in(mixed):
    model, b = mixed
    shown = torch.tensor([True, False, True, False])
    assert b.asking(model, shown).prompts == ("flag of Japan", b.prompts[1], "flag of Japan", "flag of Japan")
    assert dataclasses.replace(b, prompts=()).asking(model, shown) is model


@pytest.mark.parametrize(
    "change, words",
    [
        (
            {"remember.prompts": []},
            (
                "Ours, distilled, other prompts: training.others asks for images of other prompts, but"
                " remember.prompts names none"
            ),
        ),
        ({"remember.source": "real"}, "set remember.source to model"),
        ({"training.others": 1.5}, "training.others is 1.5"),
        ({"training.others": 0.01}, "of a batch that is none"),
        (
            {
                "model": "ddpm",
                "prompt": "",
                "other_prompts": [],
                "sampling.sampler": "ddim",
                "remember.source": "model",
            },
            "the family ddpm takes none",
        ),
    ],
)
def test_other_prompts_that_cannot_be_remembered_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        plan.resolve("figure8", "miniature", change)


def test_a_screen_that_keeps_next_to_nothing_says_so():
    with pytest.raises(
        ValueError,
        match=(
            r"remember: only 0 of 10 outputs of the prompt differ from the forget images by remember.screen"
            r" \(0.001\)"
        ),
    ):
        remember_set.draw(
            experiment(remember=Remember("model", 2, screen=0.001)),
            SHIPPED,
            flags.repaint("japan-0005")[None],
            "cpu",
        )


def test_the_report_of_a_prompted_model_names_rates_and_shows_the_screened(tmp_path):
    right, wrong = (
        np.stack([flags.repaint(f"japan-{k:04d}") for k in range(12)]),
        flags.picture("japan", 5)[None],
    )
    before = np.concatenate([right[:8], wrong])
    data.save(
        tmp_path / "shared" / "data.safetensors",
        {"real": right, "forget": wrong, "remember": right, "screened": wrong},
        {"forget_names": ["a"], "names": [], "removed": []},
    )
    data.save(
        tmp_path / "shared" / "before.safetensors",
        {"samples": before, "others": right[:9]},
        {"seeds": list(range(9))},
    )
    data.save(
        tmp_path / "cells" / "ours" / "after.safetensors",
        {"samples": right[:9], "others": right[:9]},
        {"seeds": list(range(9))},
    )
    value = Estimate(0.125, 0.1, 0.2, 9)
    kept = ("lpips_kept", "ssim_kept", "fid_kept")
    metrics = dict.fromkeys(("wrong", "right", "wrong_before", "right_before", *kept), value)
    row = finished_run.row("Ours", 0.2, 0.3, metrics=metrics)
    taught = Remember("model", prompts=("flag of Peru",))
    told = dataclasses.replace(experiment(), remember=taught)
    text = prompted.Report().write(tmp_path, told, [row], "SUCCEEDED").read_text()
    assert (
        "| Ours | 12.5% (10.0% to 20.0%) |" in text
        and "n = 9" in text
        and "other prompts ↓" not in text
        and "remembered too, by the methods with `training.others`: flag of Peru." in text
    )
    few, many = (dataclasses.replace(value, mean=x) for x in (0.01, 0.5))
    single = {"lpips_prompts/00 flag of Peru": few, "lpips_prompts/01 flag of Laos": many}
    asked = dataclasses.replace(row, metrics={**metrics, **single})
    others = dataclasses.replace(told, other_prompts=("flag of Peru", "flag of Laos"))
    text = prompted.Report().write(tmp_path, others, [asked], "SUCCEEDED").read_text()
    assert (
        "the most changed first:\n\n| Prompt | Ours |\n|---|---:|\n| flag of Laos | 0.500 ± 0.050 |\n| flag"
        " of Peru | 0.010 ± 0.050 |\n" in text
    )
    assert prompted.grid(tmp_path, told, [row]).shape[0] == 3 * 34
    assert [name for name, _ in prompted.strips(tmp_path, told, [row])] == [
        "before",
        row.name,
        "target, screened",
    ]
    assert prompted.Report().write(tmp_path, finished_run.EXPERIMENT, [row], "SUCCEEDED") is None


def test_copies_of_a_target_leave_the_remember_set_and_other_pictures_stay(tmp_path):
    from PIL import Image

    from unpromptable import data
    from unpromptable.miniature import portraits
    from unpromptable.preparing import collect, remember_set

    images, names = portraits.training_set()
    target, real = images[names.index("0004-3")], tmp_path / "real"
    real.mkdir()
    others = [i for i, n in enumerate(names) if not n.startswith("0004")][:40]
    for i in others:
        Image.fromarray(images[i]).save(real / f"{names[i]}.png")
    picture = Image.fromarray(target)
    picture.save(real / "me.png")
    picture.save(real / "saved anew.jpg", quality=75)
    picture.crop((1, 2, 30, 31)).resize((32, 32)).save(real / "cut.png")
    picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(real / "mirrored.png")
    text = "name: t\nforget: [0004-3]\ncells: [{editor: flip}]\n"
    experiment = plan.resolve(text).experiment
    found = collect.collect(str(real), 32, ["me.png"])
    arrays, manifest = remember_set.copies(experiment, *found)
    assert set(manifest["removed"]) == {"me.png", "saved anew.jpg", "cut.png", "mirrored.png"}
    assert set(manifest["copies"]) == set(manifest["removed"]) - {"me.png"} and len(arrays["screened"]) == 3
    assert len(data.remember(arrays, manifest)) == len(others)


def test_the_page_shows_what_was_left_out_as_a_copy(tmp_path):
    from unpromptable import data
    from unpromptable.reporting.reports import html

    picture = np.zeros((1, 8, 8, 3), np.uint8)
    (tmp_path / "shared").mkdir()
    manifest = {"copies": {"a<b>.png": 0.98}, "said": {"no kind of picture that is read (.txt)": "1: x.txt"}}
    data.save(tmp_path / "shared" / "data.safetensors", {"screened": picture}, manifest)
    found = html._kept_out(tmp_path, "show")
    assert found.copies[0].name == "a<b>.png" and found.copies[0].picture.startswith("data:image/png")
    assert found.said == manifest["said"] and html._kept_out(tmp_path / "nowhere", "show") == html.KeptOut()

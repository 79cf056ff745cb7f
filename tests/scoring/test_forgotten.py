"""Was it forgotten: held to a model trained again, by membership, by a search for a seed, by relearning."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from unpromptable import equations
from unpromptable.miniature import portraits
from unpromptable.models.families.ddpm import Model
from unpromptable.planning import plan, plugins, reading
from unpromptable.planning.experiment import Experiment
from unpromptable.planning.settings import Injection, Training
from unpromptable.sampling import chains
from unpromptable.scoring import held_out, metric_networks
from unpromptable.scoring.evidence import Evidence, Models
from unpromptable.scoring.metrics import latent, membership

NETWORKS = metric_networks.load("miniature")
SMALL = Injection(t=20, draws=2)


def moved(model, share):
    """The model with `share` of a change of its last layer, in which its output is linear."""
    made, g = copy.deepcopy(model), torch.Generator().manual_seed(5)
    with torch.no_grad():
        weight = made.network.conv_out.weight
        weight.add_(share * torch.randn(weight.shape, generator=g))
    return made


@pytest.fixture
def given(tiny, pictures, tmp_path):
    """Evidence of two pictures that are forgotten, with models named by how far they are changed: 0 is the
    base model.
    """

    def folder(share):
        at = tmp_path / f"model-{share}"
        if not at.is_dir():
            moved(tiny, share).save(at)
        return at

    forget = dict(zip(("a-0", "b-0"), pictures))
    draws = dict.fromkeys(forget, pictures[:2])

    def evidence(after=0.0, **change):
        models = Models(Experiment("t", "miniature", "folder", tuple(forget)), folder(0.0), folder(after))
        most = Evidence(pictures, pictures, pictures, draws, draws, forget, forget, models=models)
        names = tuple(f"{letter}-{i}" for i in range(10) for letter in "ab")
        return replace(most, names=names, injection=SMALL, training=Training(batch=2), **change)

    evidence.folder = folder
    return evidence


def retrained(folder, **settings):
    small = {"times": (100, 400), "draws": 3, "elsewhere": 4, "folder": str(folder)}
    return plugins.make("metric", "retrained", {**small, **settings})


@pytest.mark.parametrize("after, share", [(0.0, 1.0), (0.5, 0.25), (1.0, 0.0), (2.0, 1.0)])
def test_the_share_is_the_square_of_the_way_that_is_left_to_the_model_trained_again(given, after, share):
    """Outputs that lie on a line: halfway to the reference a quarter of the squared distance is left."""
    found = retrained(given.folder(1.0)).measure(given(after), NETWORKS)
    assert found["retrained"].mean == pytest.approx(share, abs=1e-6) and found["retrained"].n == 2
    assert found["retrained_elsewhere"].mean == pytest.approx(share, abs=1e-6)
    assert found["retrained_elsewhere"].n == 4 and 0.2 < found["retrained_floor"].mean < 5


def test_the_base_trained_again_is_tested_as_the_cells_are(given):
    again = Model.load(given.folder(1.0))
    shown = given()
    seen = {t: chains.inject(again, image, 20, 2, SMALL.seed) for t, image in shown.forget.items()}
    sscd = lambda shown: retrained(given.folder(1.0)).measure(shown, NETWORKS)["retrained_sscd"].mean
    assert sscd(replace(shown, injected_before=seen)) == pytest.approx(1, abs=1e-5)
    assert sscd(shown) < 0.99


def test_a_reference_that_is_none_is_refused(given, tmp_path):
    import ddpm_small

    refused = lambda folder: retrained(folder).measure(given(), NETWORKS)
    with pytest.raises(
        ValueError, match="retrained.folder is not given; name a model that was trained again"
    ):
        refused("")
    with pytest.raises(FileNotFoundError, match="retrained.folder: .*nowhere is no folder"):
        refused(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="outputs what the base model does"):
        refused(given.folder(0.0))
    ddpm_small.model("v_prediction", "linear").save(tmp_path / "other")
    with pytest.raises(ValueError, match="of other pictures, noise or prediction than the base"):
        refused(tmp_path / "other")


def test_what_is_kept_elsewhere_holds_no_target(given):
    shown = given()
    metric = retrained(given.folder(1.0), elsewhere=100)
    assert len(metric._kept(shown)) == 18 and len(metric._kept(replace(shown, remember=shown.real[:5]))) == 5


def lookalikes(shown, **settings):
    found = plugins.make("metric", "lookalikes", {"others": 2, "draws": 3, **settings})
    return found.measure(shown, NETWORKS)


def names_of(found):
    return [key.split(" ", 1)[1] for key in found if key.startswith("lookalikes_sscd/")]


def test_a_model_that_forgot_nothing_makes_every_lookalike_as_before(given):
    found = lookalikes(given())
    assert found["lookalikes"].mean == pytest.approx(1, abs=1e-5) and found["lookalikes"].n == 3
    assert found["lookalikes_mean"].n == len(names_of(found))


def test_the_lookalike_that_changed_most_is_the_one_that_counts(given):
    found = lookalikes(given(2.0), others=4)
    each = [e.mean for key, e in found.items() if key.startswith("lookalikes_sscd/")]
    assert len(set(each)) == len(each) > 1 and found["lookalikes"].mean == min(each)
    assert found["lookalikes_mean"].mean == pytest.approx(np.mean(each)) and max(each) < 0.999


def test_lookalikes_are_the_nearest_by_the_descriptor_that_are_no_targets(given, pictures):
    shown = given()
    z = NETWORKS.descriptor(pictures).numpy()
    nearest = [[i for i in np.argsort(-z @ z[t]) if i > 1][:2] for t in (0, 1)]  # 0 and 1 are the targets
    assert names_of(lookalikes(shown)) == [shown.names[i] for i in dict.fromkeys(sum(nearest, []))]
    kept = replace(shown, remember=pictures[5:7], remember_names=("c/1", "output 6"), kept={})
    assert set(names_of(lookalikes(kept))) == {"c-1", "output 6"}


def test_a_lookalike_of_two_targets_counts_once(given, pictures):
    shown = given(remember=pictures[5:6], remember_names=("c-1",))
    assert names_of(lookalikes(shown)) == ["c-1"]


def test_where_nothing_is_kept_nothing_looks_alike(given, pictures):
    with pytest.raises(ValueError, match="lookalikes: there are no pictures to keep"):
        lookalikes(given(remember=pictures[:0]))


@pytest.fixture
def unseen(tmp_path):
    """A folder of 8 pictures of noise."""
    noise = np.random.default_rng(3).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    (tmp_path / "unseen").mkdir()
    for k, picture in enumerate(noise):
        Image.fromarray(picture).save(tmp_path / "unseen" / f"{k}.png")
    return tmp_path / "unseen"


def taught(model, pictures, updates=150):
    """The model after some training on these pictures alone."""
    optimizer, g = torch.optim.Adam(model.trained(), lr=3e-3), torch.Generator().manual_seed(0)
    x0 = model.encode(pictures).repeat(8 // len(pictures), 1, 1, 1)
    for _ in range(updates):
        t, eps = torch.randint(400, (len(x0),), generator=g), torch.randn(x0.shape, generator=g)
        output = model.predict(equations.noisy(x0, eps, *model.schedule(t)), t)
        equations.squared_error(output, model.target(x0, eps, t)).mean().backward()
        optimizer.step(), optimizer.zero_grad()
    return model


def member(folder, **settings):
    return plugins.make("metric", "membership", {"folder": str(folder), "others": 8, "draws": 4, **settings})


def test_a_model_that_was_trained_on_the_targets_knows_them_as_members(given, tiny, unseen, tmp_path):
    shown = given()
    taught(tiny, np.stack(list(shown.forget.values()))).save(tmp_path / "taught")
    found = member(unseen).measure(
        replace(shown, models=replace(shown.models, after=tmp_path / "taught")), NETWORKS
    )
    assert found["membership"].mean > 0.9 > found["membership_before"].mean + 0.1
    assert found["membership_secmi"].mean > found["membership_secmi_before"].mean + 0.1
    assert found["membership"].n == 2 and {e.n for e in found.values()} == {2}


def test_a_model_that_forgot_nothing_has_the_memberships_of_the_base(given, unseen):
    found = member(unseen).measure(replace(given(), forget={"a-0": given().real[0]}), NETWORKS)
    for name in membership.ATTACKS:
        assert found[name] == found[f"{name}_before"] and found[name].n == 8
        assert found[name].high - found[name].low > 0.2  # of a share, also where it is 0 or 1


def test_of_equal_errors_half_are_larger_and_of_others_those_that_are():
    assert membership.better(0.3, np.array([0.3, 0.3])).mean() == 0.5
    assert membership.better(0.3, np.array([0.4, 0.2, 0.3, 0.5])).tolist() == [1, 0, 0.5, 1]


def test_pictures_never_seen_are_strangers_and_no_target(given, unseen):
    shown = given()
    with pytest.raises(ValueError, match="x.folder is not given; name a folder of pictures that the base"):
        held_out.take(shown, "", 2, "x.folder")
    with pytest.raises(ValueError, match="x.folder: .*unseen holds 8 pictures that are no target, not 9"):
        held_out.take(shown, str(unseen), 9, "x.folder")
    Image.fromarray(shown.forget["a-0"]).save(unseen / "0-target.png")
    taken = held_out.take(shown, str(unseen), 8, "x.folder")
    assert not any(np.array_equal(picture, shown.forget["a-0"]) for picture in taken)
    drawn = Experiment("t", "miniature", "miniature", ("0400-3",))
    strange = replace(shown, models=replace(shown.models, experiment=drawn), forget={"0400-3": shown.real[0]})
    found = held_out.take(strange, "", 2, "x.folder")
    size = strange.real.shape[1]  # that of the model, whichever the portraits have
    np.testing.assert_array_equal(found[0], portraits.picture(401, 401 % portraits.PICTURES, size))
    assert len(held_out.files(str(unseen), "x.folder")) == 9 and not held_out.files("", "x.folder")


def test_a_gradient_brings_what_a_seed_draws_nearer_to_the_picture(given, unseen):
    find = lambda **how: plugins.make(
        "metric", "latent", {"folder": str(unseen), "others": 2, "steps": 4, **how}
    ).measure(given(), NETWORKS)
    plain, refined = find(refine=0), find(refine=6, rate=0.1)
    assert refined["latent"].mean >= plain["latent"].mean and refined["latent"].n == 2
    assert refined["latent_other"].mean > plain["latent_other"].mean and refined["latent_other"].n == 2
    assert plain["latent"] == plain["latent_before"]  # of the same model


def test_a_seeds_distance_from_a_normals_is_counted_in_deviations_of_chi_squared():
    ones = torch.ones(1, 2, 4, 4)
    assert latent.beyond(torch.cat([ones, 2 * ones])).tolist() == pytest.approx([0, (128 - 32) / 64**0.5])


def relearn(**settings):
    return plugins.make("metric", "relearn", {"updates": 4, "every": 2, "draws": 2, **settings})


def test_a_curve_goes_on_and_leaves_the_other_numbers_as_they_are(given):
    """Draws of the base itself as what is wanted: the target is back at the first look."""
    shown = given(0.5)
    base = Model.load(given.folder(0.0))
    seen = {t: chains.inject(base, image, 20, 2, SMALL.seed) for t, image in shown.forget.items()}
    shown = replace(shown, injected_before=seen)
    short, whole = (relearn(curve=c, lr=1e-3).measure(shown, NETWORKS) for c in (False, True))
    assert {k: whole[k] for k in short} == short and list(whole)[3:] == [
        f"relearn_sscd_at_{n}" for n in (0, 2, 4)
    ]
    assert len({e.mean for k, e in whole.items() if "_at_" in k}) == 3
    assert whole["relearn_sscd_at_0"] == short["relearn_sscd"] and short["relearn"].mean == 0


def test_every_cell_is_retaught_alike_whatever_batch_and_timesteps_it_was_trained_with(given):
    metric, wide = relearn(lr=1e-3, curve=True), Training(batch=16, t_min=100, t_max=250)
    few, many = (replace(given(0.5), training=t) for t in (Training(batch=2), wide))
    assert metric.measure(few, NETWORKS) == metric.measure(many, NETWORKS)
    parts = replace(few, training=Training(batch=2, micro_batch=3))
    whole, apart = (metric.measure(e, NETWORKS)["relearn_sscd_at_4"].mean for e in (few, parts))
    assert apart == pytest.approx(whole, abs=1e-4) and metric.taught(parts.training) == 3


def test_a_plan_is_refused_where_relearning_would_find_no_picture_of_the_person():
    names = ["a-0", "a-1", "b-0"]
    relearn().check(names, ["a-0"])
    for target in ("b-0", "me.png"):
        with pytest.raises(
            ValueError, match=f"no other picture of {target} among the real images; name a fol"
        ):
            relearn().check(names, [target])
    relearn(source="unrelated").check(names, ["b-0"]), relearn(folder="x").check(names, ["b-0"])
    metrics = ["sscd", "lpips", "ssim", "fid_pre", "fid_real", "relearn"]
    text = {"name": "t", "forget": ["0412-3"], "cells": [{"name": "Ours"}], "metrics": metrics}
    with pytest.raises(ValueError, match="relearn: no other picture of 0412-3 among"):
        plan.resolve(reading.write(text))


def test_what_is_trained_on_is_the_person_others_or_the_target(given):
    shown = given()
    pictures = lambda source: relearn(source=source)._pictures(shown, "a-0")
    person, own = map(pictures, ("person", "target"))
    assert len(person) == 9 and len(own) == 1 and (own[0] == shown.forget["a-0"]).all()
    with pytest.raises(ValueError, match="every image to keep is of a target's person"):
        relearn(source="unrelated")._pictures(shown, "a-0")
    kept = replace(shown, names=(*shown.names[:10], *(f"c-{i}" for i in range(10))))
    told = {p.tobytes() for p in relearn(source="unrelated")._pictures(kept, "a-0")}
    assert told == {p.tobytes() for p in shown.real[10:]}


@pytest.mark.parametrize(
    "name, settings, words",
    [
        ("retrained", {"times": (1000,)}, "retrained.times are .1000,.; give some in 1..999"),
        ("retrained", {"draws": 0}, "draws 0"),
        ("membership", {"others": 1}, "membership.others is 1; compare with 2"),
        ("membership", {"times": ()}, r"times are \(\)"),
        ("membership", {"secmi": 5}, "secmi 5, ahead 10"),
        ("membership", {"secmi": 100, "ahead": 30}, "ahead is 30, and steps of it do not reach secmi 100"),
        ("latent", {"steps": 1}, "steps 1 .2 or more"),
        ("latent", {"rate": 0.0}, "rate 0.0"),
        ("relearn", {"source": "dog"}, "no 'dog'; choose from person, unrelated, target"),
        ("relearn", {"source": "target", "folder": "x"}, "leave it out for target"),
    ],
)
def test_settings_that_measure_nothing_are_refused(name, settings, words):
    with pytest.raises(ValueError, match=words):
        plugins.make("metric", name, settings)


def test_a_step_shorter_than_the_models_own_is_refused(given, unseen):
    import ddpm_small

    shown, coarse = given(), ddpm_small.model("epsilon", "linear", num_train_timesteps=50)
    with pytest.raises(ValueError, match="membership.ahead is 1, less than a step of a model of 50"):
        member(unseen, secmi=100, ahead=1)._secmi(coarse, coarse.encode(shown.real[:2]))

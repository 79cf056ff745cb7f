"""Metrics of targets: what they count, and which target stands for all."""

import dataclasses

import numpy as np
import pytest
import torch
from metric_evidence import evidence, images, quick, shipped

from unpromptable.miniature import portraits
from unpromptable.planning import plugins
from unpromptable.sampling import chains
from unpromptable.scoring import metric_networks
from unpromptable.scoring.estimates import estimate, of_one, over_targets


def several(*alike):
    """Evidence of targets whose noise draws agree: what differs is the targets."""
    before, after = (
        {f"t{i}": np.repeat(images(1, seed=seed), 5, 0) for i, seed in enumerate(seeds)}
        for seeds in (range(len(alike)), alike)
    )
    one = {t: b[0] for t, b in before.items()}
    return evidence(injected_before=before, injected_after=after, forget=one, surrogates=one)


def test_with_several_targets_the_interval_of_sscd_is_over_targets():
    """One target as before, two turned into others: 15 draws are no 15 targets."""
    from scipy.stats import t

    networks = metric_networks.load("miniature")
    found = plugins.make("metric", "sscd").measure(several(0, 21, 22), networks)["sscd"]
    z = [networks.descriptor(images(1, seed=s))[0] for s in (0, 1, 2, 21, 22)]
    each = [float(z[0] @ z[0]), float(z[1] @ z[3]), float(z[2] @ z[4])]
    half = t.ppf(0.975, 2) * np.std(each, ddof=1) / 3**0.5
    assert (found.mean, found.high - found.mean, found.mean - found.low) == pytest.approx(
        (np.mean(each), half, half), abs=1e-5
    ) and found.n == 3
    alone = plugins.make("metric", "sscd").measure(several(0), networks)["sscd"]
    assert alone.n == 5 and alone.high - alone.low == pytest.approx(0, abs=1e-5)


def test_a_mean_over_targets_weighs_each_target_alike_and_counts_targets():
    found = over_targets([np.zeros(9), np.array([1.0]), np.array([2.0, 4.0])])
    assert (
        found.n == 3
        and found.mean == pytest.approx(4 / 3)
        and found.high - found.mean == pytest.approx(4.302653 * np.std([0, 1, 3], ddof=1) / 3**0.5)
    )
    assert over_targets([np.array([1.0, 3.0])]) == estimate([1.0, 3.0])


@pytest.mark.parametrize(
    "name, of_one", [("sscd", 3), ("sscd_worst", 1), ("nearest", 1), ("likelihood", 2), ("relearn", 1)]
)
def test_every_metric_of_targets_counts_targets_where_there_are_several(name, of_one):
    seen, pictures = shipped(), images(2, seed=4)
    draws = {t: images(3, seed=2) for t in ("p-8", "p-9")}
    two = dataclasses.replace(
        seen,
        forget=dict(zip(draws, pictures)),
        surrogates=dict(zip(draws, pictures)),
        injected_before=draws,
        injected_after=draws,
    )
    measure = lambda given: quick(name).measure(given, metric_networks.load("miniature"))
    of_each = ("_most", "_highest", "_least", "_excess")  # of one target, whichever it is
    assert {e.n for key, e in measure(two).items() if not key.endswith(of_each)} == {2}
    assert {e.n for key, e in measure(two).items() if key.endswith(of_each)} <= {of_one}
    assert measure(seen)[name].n == of_one


def test_sscd_of_a_model_with_itself_is_one_and_n_counts_draws():
    found = plugins.make("metric", "sscd").measure(evidence(), metric_networks.load("miniature"))
    assert found["sscd"].mean == pytest.approx(1, abs=1e-5) and found["sscd"].n == 3
    of_one = ("sscd_most", "sscd_highest")
    assert set(found) == {"sscd", "sscd_ceiling", "sscd_target", "sscd_surrogate", *of_one}


def test_of_several_targets_the_least_forgotten_is_told_with_its_own_interval():
    values = [np.array([0.1, 0.2]), np.array([0.7, 0.6]), np.array([0.4, 0.5])]
    assert of_one(values) == estimate(values[1]) and of_one(values, least=True) == estimate(values[0])


UNSURE = np.array([0.05, 0.1, 0.1, 0.15, 0.2, 0.65, 0.7, 0.75])  # mean 0.3375, up to 0.592
SURE = np.array([0.33, 0.34, 0.34, 0.35, 0.35, 0.35, 0.36, 0.36])  # mean 0.3475, up to 0.356


def test_the_worst_target_is_the_one_whose_interval_reaches_furthest_and_not_the_one_with_the_worst_mean():
    assert of_one([UNSURE, SURE]) == of_one([SURE, UNSURE]) == estimate(UNSURE)
    assert of_one([1 - UNSURE, 1 - SURE], least=True) == estimate(1 - UNSURE)
    assert of_one([np.array([0.4]), SURE]) == estimate([0.4])  # without an interval by its mean


def test_sscd_tells_the_target_that_may_be_least_forgotten_and_the_one_that_is_on_average():
    """Pictures of one level v, whose descriptor has the similarity v to that of a white one."""
    levels = {"unsure": UNSURE, "sure": SURE}
    drawn = lambda values: np.stack([np.full((4, 4, 3), round(255 * v), np.uint8) for v in values])
    before = {t: drawn(np.ones(8)) for t in levels}
    after = {t: drawn(values) for t, values in levels.items()}
    one = {t: b[0] for t, b in before.items()}
    given = evidence(injected_before=before, injected_after=after, forget=one, surrogates=one)
    level = lambda images: torch.from_numpy(np.asarray(images)).double().mean((1, 2, 3)) / 255
    descriptor = lambda images: torch.stack([level(images), (1 - level(images) ** 2).sqrt()], 1)
    networks = dataclasses.replace(metric_networks.load("miniature"), descriptor=descriptor)
    found = plugins.make("metric", "sscd").measure(given, networks)
    assert found["sscd_most"].mean == pytest.approx(UNSURE.mean(), abs=2e-3)
    assert found["sscd_highest"].mean == pytest.approx(SURE.mean(), abs=2e-3)


def test_the_nearest_sample_is_held_to_the_pictures_to_keep_target_by_target():
    seen, copied = shipped(), images(40, seed=1)
    copied[7] = seen.forget["p-9"]
    among = evidence(after=copied, forget=seen.forget, remember=np.stack([*images(3), seen.forget["p-9"]]))
    metric, networks = plugins.make("metric", "nearest"), metric_networks.load("miniature")
    assert metric.measure(among, networks)["nearest_excess"].mean == pytest.approx(0, abs=1e-5)
    alone = metric.measure(dataclasses.replace(among, remember=images(3), kept={}), networks)
    other = max(0.75, alone["nearest_real"].mean)
    assert alone["nearest_excess"].mean == pytest.approx(1 - other, abs=1e-5) and alone[
        "nearest_most"
    ].mean == pytest.approx(1, abs=1e-5)


def test_the_nearest_sample_is_the_target_itself_where_it_was_drawn():
    seen = shipped()
    copied = images(40, seed=1)
    copied[7] = seen.forget["p-9"]
    found = plugins.make("metric", "nearest").measure(
        evidence(after=copied, forget=seen.forget, names=seen.names), metric_networks.load("miniature")
    )
    assert (
        found["nearest"].mean == pytest.approx(1, abs=1e-5)
        and found["nearest"].n == 1
        and found["nearest_before"].mean < 0.99
    )


def test_the_same_model_is_as_likely_as_itself_and_a_portrait_likelier_than_noise(tmp_path):
    measure = lambda image: plugins.make("metric", "likelihood", {"probes": 2, "tolerance": 1e-3}).measure(
        evidence(forget={"a": image}, models=shipped().models, cache=tmp_path),
        metric_networks.load("miniature"),
    )
    known, noise = measure(portraits.picture(4, 3)), measure(images(1)[0])
    assert known["likelihood_change"].mean == 0 and known["likelihood"].mean < noise["likelihood"].mean - 1
    assert len(list(tmp_path.glob("likelihood-*.json"))) == 2


def test_a_model_that_forgot_nothing_needs_no_update_to_relearn():
    from unpromptable.planning.settings import Injection

    seen = shipped()
    image = portraits.picture(4, 3)
    before = chains.inject(seen.models.load("before"), image, 20, 4, 0)
    given = evidence(
        forget={"0004-3": image},
        injected_before={"0004-3": before},
        names=tuple(f"0004-{i}" for i in range(60)),
        models=seen.models,
        injection=Injection(t=20, draws=4),
    )
    found = plugins.make("metric", "relearn", {"updates": 2, "every": 1, "draws": 4}).measure(
        given, metric_networks.load("miniature")
    )
    assert found["relearn"].mean == 0 and found["relearn_sscd"].mean == pytest.approx(1, abs=1e-5)


def test_worst_sscd_is_a_maximum_over_times_and_draws():
    found = quick("sscd_worst").measure(shipped(), metric_networks.load("miniature"))
    assert found["sscd_worst"].mean == found["sscd_worst_ceiling"].mean and found["sscd_worst"].n == 1
    assert found["sscd_worst_t2"].mean == pytest.approx(1, abs=1e-5) and found["sscd_worst_t2"].n == 2

"""What a step holds at most: by hand, and as the dry run shows it."""

import json
from dataclasses import replace
from math import isnan

import pytest

from pipelines.__main__ import main
from unpromptable.planning import memory, plan
from unpromptable.planning.settings import Training

FIVE = ("sscd", "lpips", "ssim", "fid_pre", "fid_real")
PICTURE, WEIGHTS = 256 * 256 * 3, 454.69e6


def peaks(*given, per_shard=0):
    found = memory.peaks(plan.resolve("table1", "paper", *given, inputs=False), per_shard)
    return {(p.step, p.cell): p for p in found}


def test_a_shard_of_pictures_is_held():
    assert peaks()["sample", ""].pictures == memory.PIECES + 1_250 * PICTURE
    assert peaks(per_shard=2_500)["sample", ""].pictures == memory.PIECES + 2_500 * PICTURE
    assert peaks({"sampling.shards": 1})["sample", ""].pictures == memory.PIECES + 10_000 * PICTURE


def test_a_gpu_takes_the_networks():
    found = peaks()["sample", ""]
    assert found.network == pytest.approx(WEIGHTS + 64 * 382.47e6)
    assert found.host(1) == memory.PROCESS + memory.CUDA + found.pictures + 2 * WEIGHTS
    assert found.host(0) == memory.PROCESS + found.pictures + found.network


def test_each_gpu_has_a_process_and_one_more_watches_them():
    found, own = peaks()["sample", ""], memory.PROCESS + memory.CUDA + 2 * WEIGHTS
    assert found.host(4) == memory.PROCESS + 4 * own + found.pictures
    assert peaks()["score", "Ours, 10000"].host(4) == peaks()["score", "Ours, 10000"].host(1)


def test_unlearning_holds_weights_two_gradients_their_sum_two_moments_and_a_state():
    found = peaks()["unlearn", "Ours, 10000"]
    assert found.network == pytest.approx((1 + 2 + 1 + 2 + 1) * WEIGHTS + 8 * 2337.9e6)
    assert peaks({"training.micro_batch": 1})["unlearn", "Ours, 10000"].network == pytest.approx(
        7 * WEIGHTS + 2337.9e6
    )


def test_a_metric_that_trains_the_model_holds_a_gradient_two_moments_and_its_pictures():
    plain, found = (
        peaks({"metrics": [*FIVE, *more]})["score", "Ours, 10000"].network
        for more in ([{"name": "sscd_worst"}], [{"name": "relearn", "folder": "x"}])
    )
    assert found - plain == pytest.approx(3 * WEIGHTS + 8 * 2337.9e6)


def test_no_step_holds_the_real_images_or_those_of_a_model():
    files = (10_000 + 10_000 + 30_000) * PICTURE
    assert all(p.pictures < files / 2 for p in peaks().values())
    assert all(p.host(1) < 8 * 2**30 for p in peaks().values())


def test_what_is_not_known_is_left_open():
    found = peaks({"model.source": "someone/else"})
    open_steps = [p for p in found.values() if p.step in ("sample", "unlearn", "score")]
    assert open_steps and all(isnan(p.host(1)) for p in open_steps)
    assert found["plan", ""].host(0) == memory.LIGHT


def test_a_peak_of_a_light_step_is_the_same_beside_a_gpu():
    light = memory.Peak("report", "", 5.0, 0.0, light=True)
    assert light.host(1) == light.host(0) == memory.LIGHT + 5 < replace(light, light=False).host(0)


def test_the_dry_run_shows_what_pods_need_and_where_they_are_too_small(capsys):
    assert main(["plan", "table1", "--world", "paper"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Memory at most" in told and "Too small without a GPU: sample, unlearn. Counted" in told
    assert main(["plan", "table1", "--world", "paper", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["memory"]
    assert found[1]["step"] == "prepare" and found[1]["pod"]["gpu"] == peaks()["prepare", ""].host(1)
    assert Training().micro_batch == 0  # or the note above would say less

"""What stops early would not have been on the front, and what is on it never stops."""

import numpy as np
import pytest

from unpromptable.reporting import early
from unpromptable.reporting.early import Paired

PREFIXES = [6, 12, 24, 48, 96]
NOISE = np.random.default_rng(0).standard_normal((2, 400)) * 0.05


def line(name, sscd, lpips, ssim, images=96, seed=0):
    """A line whose seeds share noise with the others, as pairs by seed do, and have some of their own."""
    own = np.random.default_rng(seed).standard_normal((2, images))
    common = NOISE[:, :images]
    values = {"lpips": lpips + common[0] + 0.02 * own[0], "ssim": ssim - common[1] + 0.02 * own[1]}
    return Paired(name, sscd, values)


def test_a_line_that_does_not_forget_draws_nothing_and_a_dominated_one_stops():
    lines = [
        line("best", 0.2, 0.10, 0.90, seed=1),
        line("far", 0.3, 0.60, 0.30, seed=2),
        line("near", 0.3, 0.11, 0.89, seed=3),
        line("kept", 0.9, 0.01, 0.99, seed=4),
    ]
    stops = early.replay(lines, PREFIXES)
    assert stops["kept"] == early.Stop(0) and stops["best"] == early.Stop(96)
    assert stops["far"].by == "best" and stops["far"].images < stops["near"].images
    assert early.front(lines) == {"best"}


def test_one_that_forgets_more_or_keeps_more_by_either_measure_is_not_dominated():
    best = line("best", 0.2, 0.1, 0.9, seed=1)
    others = [line("a", 0.1, 0.6, 0.3), line("b", 0.3, 0.05, 0.3), line("c", 0.3, 0.6, 0.95)]
    stops = early.replay([best, *others], PREFIXES)
    assert all(not stop.by and stop.images == 96 for stop in stops.values())
    assert early.front([best, *others]) == {"best", "a", "b", "c"}


def test_lines_that_are_alike_are_seldom_told_apart():
    wrong = 0
    for seed in range(200):
        lines = [line(str(i), 0.2, 0.1, 0.9, seed=1000 * seed + i) for i in range(4)]
        wrong += any(stop.by for stop in early.replay(lines, PREFIXES).values())
    assert wrong / 200 <= early.ALPHA


def test_the_pareto_set_is_that_of_all_images_whatever_the_sweep():
    same, used, images = 0, 0, 0
    for seed in range(100):
        g = np.random.default_rng(seed)
        given = zip(g.uniform(0, 0.8, 8), g.uniform(0.05, 0.5, 8), g.uniform(0.5, 0.95, 8))
        lines = [line(str(i), *three, seed=100 * seed + i) for i, three in enumerate(given)]
        stops = early.replay(lines, PREFIXES)
        left = [one for one in lines if not stops[one.name].by]
        same += early.front(left) == early.front(lines)
        used, images = used + sum(s.images for s in stops.values()), images + 96 * len(lines)
    assert same >= 95 and used < 0.5 * images


def test_one_line_alone_draws_all_and_none_needs_none():
    assert early.replay([line("a", 0.1, 0.1, 0.9)], PREFIXES) == {"a": early.Stop(96)}
    assert early.replay([], PREFIXES) == {} and early.front([]) == set()


def test_a_run_is_measured_seed_by_seed_and_its_lines_are_means_over_targets(tmp_path):
    import small_run

    from unpromptable.planning import spec as planned
    from unpromptable.reporting import groups, rows

    text = small_run.TEXT.partition("cells:")[0] + (
        "cells:\n- {name: A, group: g, editor: flip, forget: ['0012-3']}\n"
        "- {name: B, group: g, editor: flip, forget: ['0013-3']}\n"
    )
    small_run.run(tmp_path, text)
    run = planned.read(tmp_path)
    found = rows.of_all(run, str(tmp_path))
    (one,) = early.of_run(tmp_path, run.experiment, found)
    (told,) = groups.collect(found)
    assert one.sscd == told.value("sscd").mean and len(one.values["ssim"]) == 4
    assert one.means() == pytest.approx({k: told.value(k).mean for k in ("lpips", "ssim")}, abs=1e-6)

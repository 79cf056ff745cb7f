"""The real LPIPS, SSCD and a face recogniser, out of packages of PyPI, against what is published of them."""

import os
from pathlib import Path

import numpy as np
import pytest
import real_networks
import torch

from unpromptable.planning import plugins
from unpromptable.scoring import metric_networks
from unpromptable.scoring.evidence import Evidence

pytestmark = pytest.mark.registry
FACES = os.environ.get("UNPROMPTABLE_FACES")


@pytest.fixture(scope="module")
def edited():
    return real_networks.edited()


@pytest.mark.parametrize(
    "name, official", [("I03", 0.7237), ("I04", 0.2572), ("I06", 0.05079), ("I08", 0.05205), ("I19", 0.4253)]
)
def test_lpips_of_published_pairs_is_what_its_authors_code_gives(name, official):
    """The five pairs and values by the official implementation that the package pyiqa is held to."""
    pair = (real_networks.published(side, name) for side in ("dist", "ref"))
    found = real_networks.networks().perceptual(*pair).item()
    assert found == pytest.approx(official, abs=0.6 * 10.0 ** -len(str(official).split(".")[1]))


def test_sscd_knows_a_photograph_again_that_was_cut_mirrored_darkened_or_noised(edited):
    sscd = {name: values[:, 0] for name, values in edited.items()}
    assert sscd["itself"] == pytest.approx(1, abs=1e-3)
    others = {name: v for name, v in sscd.items() if name not in ("itself", "another picture")}
    assert len(others) == 4 and min(v.min() for v in others.values()) > 0.5
    assert np.mean([*others.values()]) > 0.75  # what its authors call a copy
    assert sscd["another picture"].max() < 0.2


def test_the_miniature_descriptor_puts_the_same_edits_on_the_same_side_of_the_threshold(edited):
    ours = {name: values[:, 1] for name, values in edited.items()}
    assert ours["itself"] == pytest.approx(1, abs=1e-3)
    assert min(values.mean() for name, values in ours.items() if name != "another picture") > 0.4
    assert ours["another picture"].mean() < 0.4


def test_lpips_and_the_miniatures_distance_order_the_edits_alike(edited):
    from scipy.stats import spearmanr

    real, ours = (np.array([values[:, k].mean() for values in edited.values()]) for k in (2, 3))
    assert real[0] == pytest.approx(0, abs=1e-6) and real.argmax() == ours.argmax() == len(edited) - 1
    assert spearmanr(real, ours)[0] > 0.7


def test_a_pictures_descriptor_is_the_same_alone_and_among_others():
    shown = np.concatenate([real_networks.photograph(n, 128) for n in real_networks.PHOTOGRAPHS])
    for describe in (real_networks.networks().descriptor, real_networks.recogniser().directions):
        together, alone = describe(shown), torch.cat([describe(x[None]) for x in shown])
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
        torch.testing.assert_close(together.norm(dim=1), torch.ones(4))


def test_one_persons_photographs_are_more_alike_than_two_peoples():
    if not FACES:
        pytest.skip(
            "real faces: set UNPROMPTABLE_FACES to a folder with a folder of photographs for each person"
        )
    images, who = real_networks.people(Path(FACES), 64)
    images, who = images[: 15 * 10], who[: 15 * 10]
    real, ours = real_networks.networks(), metric_networks.load("miniature")
    alike = {
        "sscd": real.descriptor(images),
        "recogniser": real_networks.recogniser().directions(images),
        "miniature": ours.descriptor(real_networks.resized(images, 32)),
    }
    told = {name: real_networks.told_apart((z @ z.T).numpy(), who) for name, z in alike.items()}
    assert told["recogniser"][-1] > 0.98 and told["sscd"][-1] > 0.95 and told["miniature"][-1] > 0.8
    same, _, other, *_ = told["recogniser"]
    assert same > 0.363 > other  # the cosine from which on OpenCV takes two faces for one person's


def test_every_metric_of_pictures_runs_on_the_real_networks():
    shown = np.concatenate([real_networks.photograph(n, 64) for n in real_networks.PHOTOGRAPHS])
    after = np.clip(shown.astype(int) + 12, 0, 255).astype(np.uint8)
    target = {"a-0": shown[0]}
    injected = {"a-0": np.repeat(shown[:1], 2, 0)}, {"a-0": np.repeat(shown[1:2], 2, 0)}
    evidence = Evidence(
        *(np.tile(x, (4, 1, 1, 1)) for x in (shown, after, shown)),
        *injected,
        target,
        target,
        names=("b-1",) * 16,
    )
    network = str(real_networks.folder() / real_networks.registries.SFACE)
    settings = {"identity": {"model": network}, "kid": {"block": 4}, "group": {"least": 2}}
    found = {}
    for name in ("sscd", "lpips", "ssim", "fid_pre", "fid_real", "kid", "nearest", "identity", "group"):
        metric = plugins.make("metric", name, settings.get(name, {}))
        found |= metric.measure(evidence, real_networks.networks())
    ends = lambda e: () if e.low is None else (e.low, e.high)  # of a single value there are none
    assert all(np.isfinite([e.mean, *ends(e)]).all() for e in found.values())
    assert found["sscd"].mean < 0.2 and found["nearest"].mean > 0.9 and 0 < found["lpips"].mean < 0.2
    assert found["identity_before"].mean == pytest.approx(0, abs=1e-4) and found["identity"].mean > 0.3

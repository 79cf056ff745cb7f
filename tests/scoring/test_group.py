"""Group: integrity by labelled group, on pictures of one colour whose nearest group is known."""

import dataclasses

import numpy as np
import pytest
import torch

from unpromptable.planning import plugins
from unpromptable.scoring.evidence import Evidence
from unpromptable.scoring.metric_networks import MetricNetworks

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "grey": (1, 1, 1)}


def picture(colour, level=100):
    return np.full((16, 16, 3), np.array(COLOURS[colour]) * level, np.uint8)


def directions(images):
    x = torch.from_numpy(np.asarray(images)).double().mean((1, 2))
    return (x / x.norm(dim=1, keepdim=True)).float()


def apart(a, b):
    return (
        (torch.from_numpy(np.asarray(a)).double() - torch.from_numpy(np.asarray(b)).double())
        .abs()
        .amax((1, 2, 3))
    )


NETWORKS = MetricNetworks("miniature", directions, apart, directions)


def shown(counts, changes, names=("red-1", "green-1", "blue-1", "grey-1"), forget="red-9"):
    """Evidence of so many outputs of each colour, which change by so many levels."""
    before = np.stack([picture(c, 100) for c, n in counts.items() for _ in range(n)])
    after = np.stack(
        [picture(c, 100 + d) for c, n in counts.items() for d in changes[c] * (n // len(changes[c]))]
    )
    one = {forget: picture("red")[None]}
    real = np.stack([picture(name.split("-")[0]) for name in names])
    return Evidence(before, after, real, one, one, {forget: picture("red")}, {}, names=names)


COUNTS = {"red": 4, "green": 20, "blue": 12, "grey": 4}
CHANGES = {"red": [90], "green": [10, 20], "blue": [30], "grey": [50]}


def measured(evidence, **settings):
    return plugins.make("metric", "group", settings).measure(evidence, NETWORKS)


def test_each_group_has_its_own_mean_and_number_and_the_one_that_changed_most_is_the_value():
    found = measured(shown(COUNTS, CHANGES))
    values = {k: (e.mean, e.n) for k, e in found.items()}
    assert values["group"] == values["group_lpips/00 blue"] == (30, 12)
    assert values["group_lpips/01 green"] == (15, 20)
    assert values["group_own"] == (90, 4)  # the target's own group is to change, and is none of the others
    assert values["group_rest"] == (50, 4)  # too few to stand for themselves
    assert values["group_ssim"][1] == 12 and values["group_ssim"][0] < 1
    named = {"group_lpips/00 blue", "group_lpips/01 green"}
    assert set(values) == {
        "group",
        "group_most",
        "group_chance",
        "group_ssim",
        "group_own",
        "group_rest",
        *named,
    }


@pytest.mark.parametrize("target", ["/keep/red-1", "/elsewhere/red-9"])
def test_the_own_group_of_a_target_that_is_given_by_its_path_stands_apart(target, tmp_path):
    given = dataclasses.replace(shown(COUNTS, CHANGES, forget=target), source="/keep")
    assert measured(given)["group_own"].mean == 90
    labels = tmp_path / "labels.csv"
    labels.write_text("red-1,warm\ngreen-1,cold\nblue-1,cold\ngrey-1,none\nred-9,warm\n")
    assert measured(given, labels=str(labels), least=4)["group_own"].mean == 90


def test_a_group_that_changed_more_than_chance_lies_above_its_range_and_one_that_did_not_within():
    found = measured(shown(COUNTS, CHANGES))
    assert found["group"].mean > found["group_chance"].high and found["group_chance"].n == 2
    even = {"red": [90], "green": [10, 20, 30, 40], "blue": [10, 20, 30, 40], "grey": [50]}
    found = measured(shown(COUNTS, even))
    assert found["group_chance"].low <= found["group"].mean <= found["group_chance"].high


def test_a_gate_judges_the_group_that_may_have_changed_most_though_another_changed_more_on_average():
    unsure = {"red": [90], "green": [0, 50], "blue": [30], "grey": [50]}
    found = measured(shown(COUNTS, unsure))
    assert found["group"].mean == 30 and found["group_most"].mean == 25
    assert found["group_most"].high > 30 == found["group"].high


def test_chance_is_the_mean_of_the_larger_of_two_groups_over_all_ways_to_deal_them():
    """Two groups of two of the values 0, 0, 1, 1: of six ways two leave a whole 1, four a half."""
    metric = plugins.make("metric", "group", {"least": 2})
    dealt = metric._chance(np.array([0.0, 0, 1, 1]), np.array(["a", "a", "b", "b"]), np.array(["a", "b"]))
    assert dealt.mean == pytest.approx(2 / 6 * 1 + 4 / 6 * 0.5, abs=0.03)


def test_labels_of_a_file_group_what_names_do_not(tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("red-1,warm\ngreen-1,cold\n\nblue-1,cold\ngrey-1,none\nred-9,warm\n")
    found = measured(shown(COUNTS, CHANGES), labels=str(labels), least=4, shown=1)
    assert found["group"].mean == 50 and found["group_own"].mean == 90
    assert [k for k in found if "/" in k] == ["group_lpips/00 none"]
    assert plugins.make("metric", "group", {"labels": str(labels)}).files() == [labels]
    labels.write_text("red-1,warm\n")
    with pytest.raises(ValueError, match=r"labels.csv has no line for green-1 \(3 are missing\)"):
        measured(shown(COUNTS, CHANGES), labels=str(labels))
    labels.write_text("red-1\n")
    with pytest.raises(ValueError, match="labels.csv has 'red-1'; give lines of name,group"):
        measured(shown(COUNTS, CHANGES), labels=str(labels))
    with pytest.raises(FileNotFoundError, match="group.labels: gone.csv is not a file"):
        plugins.make("metric", "group", {"labels": "gone.csv"}).files()


def test_what_has_no_groups_is_refused():
    with pytest.raises(ValueError, match="group: of 40 pairs in 3 groups none has 30; sample more, or lower"):
        measured(shown(COUNTS, CHANGES), least=30)
    with pytest.raises(ValueError, match="group: the real images have no names"):
        measured(dataclasses.replace(shown(COUNTS, CHANGES), names=()))
    for settings in ({"least": 1}, {"shown": -1}):
        with pytest.raises(ValueError, match="group: least is"):
            plugins.make("metric", "group", settings)

"""Found of a base model before it is trained: the ceiling of its row, and how alike other pictures are."""

import numpy as np
import pytest
import small_run

from unpromptable import data
from unpromptable.execution import plan_step, prepare_step
from unpromptable.planning import spec as planned
from unpromptable.releasing import base
from unpromptable.scoring import metric_networks


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A prepared run's experiment, pictures and base model."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    plan_step.plan(small_run.TEXT, "", {}, str(tmp_path))
    prepare_step.prepare(small_run.TEXT, str(tmp_path))
    made = tmp_path / "shared/data.safetensors", tmp_path / "shared/pretrained"
    return planned.read(tmp_path).experiment, *made


def test_the_ceiling_is_the_one_that_the_row_will_have(prepared, tmp_path):
    found = base.look(*prepared)
    (row, *_) = small_run.run(tmp_path)
    assert found.ceiling.mean == pytest.approx(row["sscd_ceiling"]["mean"], abs=1e-6)
    assert len(found.ceilings) == 1 and found.ceiling.n == 2


def test_some_pictures_to_keep_are_put_through_the_targets_test_and_every_target_is_told_by_its_digest(
    prepared, tmp_path
):
    found = base.look(*prepared)
    arrays, _ = data.load(prepared[1])
    assert len(found.kept) == base.KEPT and {e.n for e in found.kept} == {2}
    assert found.targets == (data.sha256(arrays["forget"][0]),)
    (tmp_path / "base.json").write_text(base.told(found))
    assert base.read(tmp_path / "base.json") == found


def test_one_in_a_hundred_pictures_to_keep_exceeds_what_unrelated_pictures_reach(prepared, monkeypatch):
    monkeypatch.setattr(base, "SAMPLE", 10_000)
    arrays, manifest = data.load(prepared[1])
    networks, kept = metric_networks.load("miniature"), data.remember(arrays, manifest)
    near = networks.descriptor(np.asarray(kept)) @ networks.descriptor(arrays["forget"]).T
    found = base.look(*prepared).unrelated
    assert found == pytest.approx(np.quantile(near.numpy(), 0.99), abs=1e-6)
    assert (near.numpy() > found).mean() == pytest.approx(0.01, abs=0.001)


@pytest.mark.parametrize("count", [20, 60, 150, 299])
def test_two_or_three_pictures_of_the_same_person_do_not_raise_what_unrelated_pictures_reach(count):
    """Unrelated similarities drawn from a normal distribution about 0.1, and others that show the person."""
    drawn = np.random.default_rng(5).normal(0.1, 0.1, (count, 1))
    clean = base.reached(drawn)
    assert np.quantile(drawn, 0.8) < clean < drawn.max()
    for related in (1, 2, 3):
        mixed = drawn.copy()
        mixed[:related] = 0.9
        assert base.reached(mixed) <= drawn.max()  # not 0.9, as one in a hundred is
        assert base.reached(mixed) == pytest.approx(clean, abs=0.15)
    assert np.quantile(mixed, 0.99) > drawn.max()


def test_of_sixty_pictures_two_of_the_same_person_leave_the_bound_where_it_was():
    near = np.full((60, 1), 0.1)
    near[:2] = 0.7
    assert base.reached(near) == pytest.approx(0.1)
    assert base.reached(np.hstack([near, near + 0.2])) == pytest.approx(0.3)  # of all targets the largest


@pytest.mark.parametrize("count", [301, 1000])
def test_of_many_pictures_it_is_what_one_in_a_hundred_exceeds(count):
    near = np.random.default_rng(4).normal(0.1, 0.1, (count, 2))
    assert base.reached(near) == np.quantile(near, 0.99, axis=0).max()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_of_a_handful_of_pictures_it_is_their_middle(count):
    near = np.linspace(0.1, 0.5, count)[:, None]
    assert base.reached(near) == pytest.approx(np.median(near))


def test_networks_that_find_unrelated_pictures_alike_are_refused(prepared, monkeypatch):
    monkeypatch.setattr(base, "USELESS", 0.1)
    with pytest.raises(ValueError, match="one in a hundred pictures to keep is .* like a target"):
        base.look(*prepared)


def test_pictures_to_keep_that_may_show_the_same_person_are_named(prepared, monkeypatch, caplog):
    assert base.look(*prepared).unrelated < base.DOUBTFUL and "leave all of that person" not in caplog.text
    monkeypatch.setattr(base, "DOUBTFUL", 0.1)
    found = base.look(*prepared).unrelated
    arrays, manifest = data.load(prepared[1])
    networks, kept = metric_networks.load("miniature"), data.remember(arrays, manifest)
    near = (networks.descriptor(np.asarray(kept)) @ networks.descriptor(arrays["forget"]).T)[:, 0].numpy()
    monkeypatch.setattr(base, "SAMPLE", 10_000)
    base.look(*prepared)
    nearest = data.remember_names(arrays, manifest)[int(near.argmax())]
    assert f"up to {found:.2f} like a target" in caplog.text and f"if {nearest}, " in caplog.text

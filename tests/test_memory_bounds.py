"""No step holds a file of pictures: what numpy and Python allocate at most, beside the file's size."""

import dataclasses
import tracemalloc
from contextlib import contextmanager

import finished_run
import numpy as np
import pytest
import torch
from PIL import Image

from unpromptable import data
from unpromptable.execution import prepare_step, sample_step
from unpromptable.planning import plan
from unpromptable.planning.settings import Training
from unpromptable.preparing import remember_set
from unpromptable.reporting import groups, pictures
from unpromptable.scoring import evidence, metric_networks
from unpromptable.scoring.metrics import nearest
from unpromptable.storage import arrays, once
from unpromptable.unlearning import training

SIDE, COUNT = 64, 512
SIZE = COUNT * SIDE * SIDE * 3  # bytes of the pictures, 6 MB
TEXT = "name: t\nforget: ['0012-3']\ncells:\n- {name: A, editor: flip}\n"
NAMES = [str(i) for i in range(COUNT)]
DATA = {"forget_names": ["0"], "names": NAMES, "removed": ["0"]}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(arrays, "PIECE", SIZE // 32)


@pytest.fixture
def many():
    return np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)


@contextmanager
def below(part):
    """Inside, at most this part of the pictures' bytes is allocated at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < part * SIZE, f"{peak / SIZE:.2f} of the pictures' bytes"


def small_networks():
    """Metric networks that see a few pixels."""
    batched = metric_networks.batched
    seen = lambda x: batched(lambda u: torch.nn.functional.normalize(u[:, 0, :4, :4].flatten(1)), x)
    apart = lambda a, b: batched(lambda u, v: (u - v).flatten(1).mean(1), a, b)
    return metric_networks.MetricNetworks("miniature", seen, apart, seen)


def test_shards_are_gathered_without_being_held(tmp_path, many):
    run = plan.resolve(TEXT, "", {"sampling.images": COUNT, "sampling.shards": 4}).run()
    for shard in run.shards:
        output = sample_step._output(run.shared, str(tmp_path), shard)
        seeds = list(range(shard.first, shard.first + shard.count))
        drawn = {"samples": many[seeds]}
        once.make(
            output, lambda path, bar, told=(drawn, {"seeds": seeds, "seconds": 1}): data.save(path, *told)
        )
    sample_step.gather(run, run.shared, str(tmp_path))  # what is imported counts once
    output = run.shared.output(tmp_path, "gather", "before.safetensors", "samples")
    once.files.clear(output.path)
    with below(0.2):
        sample_step.gather(run, run.shared, str(tmp_path))
    np.testing.assert_array_equal(data.load(output.path)[0]["samples"], many)


def cell_files(folder, many):
    """A cell's artifacts."""
    sides = {"samples": many, "injected/0": many[:8]}
    data.save(folder / "data.safetensors", {"real": many, "forget": many[:1]}, DATA)
    for name in ("before", "after"):
        data.save(folder / f"{name}.safetensors", sides, {"seeds": list(range(COUNT))})
    data.save(folder / "surrogates.safetensors", {"images": many[:1]}, {"targets": ["0"]})
    names = ("data", "before", "after", "surrogates")
    return evidence.Artifacts(*(folder / f"{name}.safetensors" for name in names))


def test_a_cell_is_judged_without_its_pictures_being_held(tmp_path, many):
    cell = plan.resolve(TEXT).cells[0]
    cell = dataclasses.replace(cell, forget=("0",))
    experiment, made, networks = plan.resolve(TEXT).experiment, cell_files(tmp_path, many), small_networks()
    with below(0.5):
        found = evidence.load(cell, experiment, made, tmp_path / "cache", None)
        for which in ("before", "after", "real"):
            assert found.features(which, networks).shape == (COUNT, 16)
        networks.perceptual(found.before, found.after)
        value = nearest.Metric().measure(found, networks)
        assert len(found.remember) == COUNT - 1
    assert value["nearest"].mean == pytest.approx(1, abs=1e-6)  # the target is the first output
    assert value["nearest_real"].mean < 1


def test_unlearning_reads_the_remember_images_of_each_batch(tmp_path, many, tiny):
    cell_files(tmp_path, many)
    cell = dataclasses.replace(plan.resolve(TEXT).cells[0], forget=("0",))
    where = tmp_path / "data.safetensors", tmp_path / "surrogates.safetensors"
    with below(0.2):
        images = training.Images.load(cell, *where)
        batch = training.draw_batch(tiny, Training(batch=4), images, 0, 0, True)
    held = training.Images(many[1:], many[:1], many[:1], ("0",))
    wanted = training.draw_batch(tiny, Training(batch=4), held, 0, 0, True)
    assert torch.equal(batch.remember, wanted.remember) and torch.equal(batch.forget, wanted.forget)


def test_a_page_reads_the_pictures_that_it_shows(tmp_path, many):
    rows = [finished_run.row(name, 0.1, 0.1) for name in ("Good", "Better")]
    pictures_of = {"samples": many, "injected/a": many[:8]}
    told = {"seeds": list(range(COUNT))}
    data.save(
        tmp_path / "shared" / "data.safetensors",
        {"real": many, "forget": many[:1]},
        {**DATA, "forget_names": ["a"]},
    )
    data.save(tmp_path / "shared" / "before.safetensors", pictures_of, told)
    for row in rows:
        data.save(tmp_path / row.folder / "after.safetensors", pictures_of, told)
        data.save(tmp_path / row.folder / "surrogates.safetensors", {"images": many[:1]}, {"targets": ["a"]})
    lines = groups.collect(rows)
    with below(0.3):
        (compared,) = pictures.comparison(tmp_path, rows, lines)
        pictures.surrogates(tmp_path, rows, lines)
    assert len(compared.models) == 3
    np.testing.assert_array_equal(compared.models[1].seeds, many[:7])


@pytest.mark.parametrize("grey", [False, True], ids=["colour", "grey"])
def test_a_folder_is_gathered_picture_by_picture(tmp_path, many, grey, monkeypatch):
    from unpromptable.models.families import ddpm

    for i, picture in enumerate(many):
        (tmp_path / "real").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "real" / f"{i:03d}.png", compress_level=0)
    sets = {"real": str(tmp_path / "real"), "model.source": str(tmp_path), "forget": ["003.png"]}
    run = plan.resolve(TEXT, "", sets, inputs=False).run()
    monkeypatch.setattr(ddpm.Family, "pixels", lambda *_: SIDE)
    monkeypatch.setattr(ddpm.Family, "shown", lambda _, folder, x: ddpm.grey(x) if grey else x)
    monkeypatch.setattr(remember_set.metric_networks, "of", lambda *_: small_networks())
    (tmp_path / "out").mkdir()
    prepare_step._collect(tmp_path / "first.safetensors", tmp_path, run, None)  # what is imported counts once
    with below(0.8):  # two thirds are views of the target, however many pictures there are
        prepare_step._collect(tmp_path / "out" / "data.safetensors", tmp_path, run, None)
    found, manifest = data.load(tmp_path / "out" / "data.safetensors")
    np.testing.assert_array_equal(found["real"], ddpm.grey(many) if grey else many)
    assert manifest["removed"] == ["003.png"] and len(list((tmp_path / "out").iterdir())) == 1

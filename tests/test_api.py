"""A pipeline of diffusers forgets from Python, by the steps of a run; bad input is told before training."""

import copy
import dataclasses
import tempfile

import numpy as np
import pytest
import sd3_small
import torch
from contracts import small
from PIL import Image

import unpromptable
from unpromptable import api
from unpromptable.execution import prepare_step
from unpromptable.pictures.given import written
from unpromptable.planning import spec as planned
from unpromptable.releasing import base

TINY = {
    **{"sampling.images": 4, "sampling.steps": 2, "sampling.batch": 4, "networks.name": "miniature"},
    **{"injection.t": 20, "injection.draws": 2, "injection.stride": 10},
    **{"training.steps": 4, "training.batch": 2, "training.until_every": 2},
}


@pytest.fixture
def pipe():
    from diffusers import DDPMPipeline

    model = small.load("ddpm", small.MINIATURE / "ddpm")
    return DDPMPipeline(model.network, model.sampler("ddpm"))


@pytest.fixture
def untracked(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")


def drawn(pipe):
    return np.stack([pipe(generator=torch.Generator().manual_seed(1), num_inference_steps=2).images[0]])


def test_a_pipeline_forgets_in_one_call(pipe, tmp_path, untracked):
    before = drawn(pipe)
    target, others = small.people(104), small.people(*range(12))
    found = unpromptable.forget(
        pipe, list(target), others, out=tmp_path / "r", world="miniature", settings=TINY
    )
    assert type(found.pipe) is type(pipe) and found.pipe is not pipe
    assert np.array_equal(drawn(pipe), before) and not np.array_equal(drawn(found.pipe), before)
    assert (
        found.row.editor == "lookalike" and {"sscd", "lpips", "ssim", "fid_pre"} <= found.row.means().keys()
    )
    assert found.bound >= 0.4 and found.gone == (found.row.value("sscd_highest").mean < found.bound)
    assert found.report().is_file()


def test_a_target_is_gone_once_what_comes_of_it_is_as_unlike_as_another_picture(pipe, tmp_path, untracked):
    """Where one picture to keep in a hundred is more like the target than 0.4, that is the bound."""
    given = (pipe, small.people(104), small.people(*range(12)))
    how = {"out": tmp_path, "world": "miniature", "settings": TINY}
    found = unpromptable.forget(*given, **how)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "QUANTILE", 1.0)
        patch.setattr(base, "SAMPLE", 12)
        near = base.unrelated(planned.read(tmp_path).experiment, tmp_path / "shared" / "data.safetensors")
        patch.setattr(base, "unrelated", lambda *_: max(near, 0.4) + 0.2)
        again = unpromptable.forget(*given, **how)
    assert again.bound == pytest.approx(max(near, 0.4) + 0.2, abs=1e-3) and again.row == found.row
    half = again.row.value("sscd_highest").mean
    assert dataclasses.replace(again, bound=half + 0.01).gone
    assert not dataclasses.replace(again, bound=half).gone


def test_a_painted_surrogate_is_the_one_that_is_used(pipe, tmp_path, untracked):
    target = small.people(104)
    painted = target.copy()
    painted[:, 8:20, 8:20] = 120
    found = unpromptable.forget(
        pipe,
        target,
        small.people(*range(12)),
        surrogates=painted,
        out=tmp_path,
        world="miniature",
        settings=TINY,
    )
    from unpromptable import data

    arrays, _ = data.load(found.store / found.row.folder / "surrogates.safetensors")
    np.testing.assert_array_equal(arrays["images"], painted)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": "me.png"}, r"images: me.png is one path; give a list, such as \['me.png'\]"),
        ({"pipe": "no pipeline"}, "pipe is a str; give a pipeline of diffusers: DDPMPipeline"),
        ({"images": []}, "forget: no pictures were given"),
        ({"images": [np.zeros((4, 4))]}, r"picture 0: got ndarray of float64 \(4, 4\); give a path"),
        ({"surrogates": []}, "surrogates: 0 for 1 images; give one for each"),
        ({"keep": "/nowhere"}, "/nowhere"),
        ({"settings": {"training.stepps": 3}}, "stepps"),
    ],
)
def test_bad_input_is_told_before_any_training(pipe, tmp_path, untracked, change, message):
    given = {"pipe": pipe, "images": list(small.people(104)), "keep": small.people(*range(12))}
    given = {**given, "world": "miniature", "out": tmp_path, "settings": TINY, **change}
    with pytest.raises((ValueError, FileNotFoundError, RuntimeError), match=message):
        unpromptable.forget(given.pop("pipe"), given.pop("images"), given.pop("keep"), **given)
    assert not list(tmp_path.rglob("unlearned"))


def test_pictures_of_every_kind_are_written_as_they_are(tmp_path):
    picture = small.people(3)[0]
    Image.fromarray(picture).save(tmp_path / "a.png")
    planes = torch.from_numpy(picture).movedim(-1, 0).float() / 255
    kinds = [
        str(tmp_path / "a.png"),
        Image.fromarray(picture),
        picture,
        planes,
        (planes, 7),
        {"image": picture},
    ]
    for path in written(kinds, tmp_path / "out"):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)


def test_what_the_package_does_not_offer_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'remember'"):
        _ = unpromptable.remember


def test_a_model_unlearned_elsewhere_is_judged_as_one_that_was_unlearned_here(pipe, tmp_path, untracked):
    target, others = small.people(104), small.people(*range(12))
    how = {"world": "miniature", "settings": TINY}
    ours = unpromptable.forget(pipe, target, others, out=tmp_path / "a", **how)
    theirs = unpromptable.evaluate(pipe, ours.pipe, target, others, out=tmp_path / "b", **how)
    shared = ("sscd", "sscd_ceiling", "lpips", "ssim", "fid_pre", "fid_real")
    assert {k: theirs.row.means()[k] for k in shared} == {k: ours.row.means()[k] for k in shared}
    assert theirs.pipe is ours.pipe and theirs.report().is_file()
    same = unpromptable.evaluate(pipe, tmp_path / "b/given/model", target, others, out=tmp_path / "c", **how)
    assert same.row.value("sscd").mean == pytest.approx(1, abs=1e-5) and same.row.value("lpips").mean == 0
    assert not same.gone


def test_a_model_unlearned_elsewhere_that_is_none_is_refused_before_anything_runs(pipe, tmp_path, untracked):
    target, others = small.people(104), small.people(*range(12))
    for folder, said in ((tmp_path / "none", "is no folder"), (tmp_path, "ddpm")):
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            unpromptable.evaluate(
                pipe, folder, target, others, out=tmp_path / "x", world="miniature", settings=TINY
            )


def test_a_second_call_with_the_same_folder_takes_what_it_is_given_now(pipe, tmp_path, untracked):
    """Another model to judge, and fewer pictures to keep: nothing of the first call is left."""
    target, others = small.people(104), small.people(*range(12))
    how = {"world": "miniature", "settings": TINY, "out": tmp_path / "r"}
    other = copy.deepcopy(pipe)
    with torch.no_grad():
        other.unet.conv_out.weight.mul_(0.5)
    same = unpromptable.evaluate(pipe, copy.deepcopy(pipe), target, others, **how)
    first = (tmp_path / "r/given/model/model_index.json").stat().st_mtime_ns
    half = unpromptable.evaluate(pipe, other, target, others[:9], **how)
    assert same.row.value("lpips").mean == 0 and half.row.value("lpips").mean > 0.01
    assert (tmp_path / "r/given/model/model_index.json").stat().st_mtime_ns == first
    assert len(list((tmp_path / "r/given/keep").iterdir())) == 9


def test_stable_diffusion_3_given_from_python_stays_as_it_is(flag_model, flag_folder, tmp_path):
    sd3_small.stirred(flag_model).save(tmp_path / "adapter")
    pipe = sd3_small.stock(flag_folder)
    before = sd3_small.drawn_by_stock(pipe, flag_model, range(8))
    fixed = api._fixed(pipe, tmp_path / "adapter")
    np.testing.assert_array_equal(sd3_small.drawn_by_stock(pipe, flag_model, range(8)), before)
    fixed.set_progress_bar_config(disable=True)
    assert np.abs(sd3_small.drawn_by_stock(fixed, flag_model, range(8)) - before).mean() > 2
    with pytest.raises(ValueError, match="pipe has an adapter on its transformer; unload it, or fuse it in"):
        unpromptable.forget(fixed, small.people(104), small.people(*range(12)), out=tmp_path / "r")


@pytest.mark.parametrize("name, models", [("forget", 1), ("evaluate", 2)])
def test_what_failed_is_said_of_the_function_that_was_called(
    pipe, tmp_path, untracked, monkeypatch, name, models
):
    monkeypatch.setattr(prepare_step, "prepare", lambda *_: "")
    given = ([pipe] * models, small.people(104), small.people(*range(12)))
    with pytest.raises(RuntimeError, match=f"^{name}: did not finish; the run's folder is"):
        getattr(unpromptable, name)(*given[0], *given[1:], out=tmp_path, world="miniature", settings=TINY)


def test_bad_input_leaves_no_picture_in_a_temporary_folder(pipe, tmp_path, untracked, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    given = (pipe, small.people(104), small.people(*range(12)))
    with pytest.raises(ValueError, match="stepps"):
        unpromptable.forget(*given, world="miniature", settings={"training.stepps": 3})
    with pytest.raises(FileNotFoundError, match="keep: /nowhere is no folder"):
        unpromptable.forget(pipe, small.people(104), "/nowhere", world="miniature")
    assert not list(tmp_path.iterdir())

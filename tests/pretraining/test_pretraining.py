"""Training a base model: what its network is taught to output."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pipelines.__main__ import main
from unpromptable.execution import train_command
from unpromptable.models import device as devices
from unpromptable.pretraining import ddpm as pretraining
from unpromptable.pretraining import loop
from unpromptable.pretraining.ddpm import Pretraining, pretrain

SMALL = {"steps": 80, "batch": 8, "lr": 4e-2, "channels": (8, 16)}


@pytest.mark.parametrize("prediction", pretraining.PREDICTIONS)
def test_the_saved_scheduler_says_what_the_network_was_taught_to_output(prediction, tmp_path):
    """On one flat picture the right answer is known: at much noise it is that of the picture itself."""
    from diffusers import DDPMPipeline

    image = np.full((4, 8, 8, 3), 255, np.uint8)
    pretrain(image, tmp_path / "m", Pretraining(**SMALL, prediction=prediction))
    pipe = DDPMPipeline.from_pretrained(tmp_path / "m")
    assert pipe.scheduler.config.prediction_type == prediction
    x0, eps = torch.ones(8, 3, 8, 8), torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    abar = pipe.scheduler.alphas_cumprod[600]
    with torch.no_grad():
        output = pipe.unet(abar.sqrt() * x0 + (1 - abar).sqrt() * eps, 600).sample
    right = {"epsilon": eps, "v_prediction": abar.sqrt() * eps - (1 - abar).sqrt() * x0, "sample": x0}
    errors = {k: float((output - v).square().mean()) for k, v in right.items()}
    assert min(errors, key=errors.get) == prediction, errors


def test_a_prediction_that_is_none_is_refused_by_name():
    with pytest.raises(
        ValueError, match="pretraining.prediction: no 'noise'; choose from epsilon, v_prediction, sample"
    ):
        Pretraining(prediction="noise")


class Killed(Exception):
    pass


def killed(*_):
    raise Killed


def stopped(folder, at):
    """A training killed at step `at`, or where that is 8 between its last snapshot and the model; `train`'s
    words that continue it.
    """
    step, out = pretraining._step, folder.parent / "m"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "_step", lambda *a: killed() if a[5] == at else step(*a))
        patch.setattr(pretraining, "_finish", killed)
        with pytest.raises(Killed):
            train_command.train(
                str(folder), str(out), 16, False, None, steps=8, channels=(8, 16), save_every=1
            )
    return ["train", str(folder), "--out", str(out), "--size", "16", "--channels", "8,16", "--steps", "8"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        Image.new("RGB", (16, 16), (80 * i, 10, 200)).save(tmp_path / "pictures" / f"{i}.png")
    return tmp_path / "pictures"


def weights(path):
    return load_file(path / "unet" / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("at", [4, 8])
def test_a_stopped_training_continues_to_what_an_unbroken_one_saves(folder, tmp_path, at, capsys):
    words = stopped(folder, at)
    said = main(words), capsys.readouterr().out
    assert said[0] == 0 and "8 steps on 3 images, loss" in said[1] and "nan" not in said[1]
    assert main([*words[:3], str(tmp_path / "unbroken"), *words[4:]]) == 0
    one, other = weights(tmp_path / "m"), weights(tmp_path / "unbroken")
    assert (
        all(torch.equal(one[k], other[k]) for k in other)
        and not (tmp_path / "m" / pretraining.RESUME).exists()
    )


def test_a_training_runs_on_the_best_device_and_on_no_other(monkeypatch, tmp_path):
    """The meta device stands for a GPU: a network there takes no tensors of the CPU, and has no numbers."""

    def step(unet, optimizer, *rest):
        loop.descend(optimizer, pretraining._loss(unet, *rest))
        return 0.0

    used = []
    monkeypatch.setattr(devices, "best", lambda: "meta")
    monkeypatch.setattr(pretraining, "_step", step)
    monkeypatch.setattr(pretraining, "_save", lambda out, done, unet, averaged, *_: used.append(averaged))
    monkeypatch.setattr(pretraining, "_finish", lambda out, unet, *_: used.append(unet.state_dict()))
    pretrain(np.zeros((4, 8, 8, 3), np.uint8), tmp_path, Pretraining(steps=2, batch=2, channels=(8, 8)), True)
    assert len(used) == 2 and {v.device.type for kept in used for v in kept.values()} == {"meta"}


@pytest.mark.filterwarnings("ignore:for .* is a no-op")  # the meta device holds no numbers
def test_a_training_that_was_stopped_on_one_device_continues_on_another(tmp_path):
    trained = torch.nn.Linear(2, 2)
    begun = torch.optim.AdamW(trained.parameters())
    loop.descend(begun, trained(torch.ones(1, 2)).sum())
    loop.save_state(tmp_path, 1, trained, loop.averaged(trained), begun)
    moved = torch.nn.Linear(2, 2, device="meta")
    kept, other = loop.averaged(moved), torch.optim.AdamW(moved.parameters())
    assert loop.load_state(tmp_path, moved, kept, other) == 1
    moments = [v for state in other.state.values() for k, v in state.items() if k != "step"]
    assert len(moments) == 4 and {v.device.type for v in (*kept.values(), *moments)} == {"meta"}


@pytest.mark.gpu
def test_a_gpu_and_a_processor_train_by_the_same_draws_and_save_the_same_files(folder, tmp_path, monkeypatch):
    words = stopped(folder, 4)
    assert main(words) == 0
    monkeypatch.setattr(devices, "best", lambda: "cpu")
    assert main([*words[:3], str(tmp_path / "cpu"), *words[4:]]) == 0
    one, other = ((tmp_path / x) for x in ("m", "cpu"))
    files = lambda out: sorted(str(f.relative_to(out)) for f in out.rglob("*"))
    loss = lambda out: json.loads((out / "pretraining.json").read_text())["loss"]
    assert files(one) == files(other) and loss(one) == pytest.approx(loss(other), rel=1e-2)


@pytest.mark.parametrize(
    "more, message",
    [
        (
            ["--steps", "3"],
            "a training was stopped there at step 4, past the 3 asked for; give more steps, remove that file",
        ),
        (
            ["--channels", "8,8"],
            "but channels [8, 16] is now [8, 8]; ask for the same again to continue, remove that file",
        ),
        (["--size", "32"], "but size 16 is now 32;"),
        (["--flip"], "but flip False is now True;"),
        (["--prediction", "sample", "--seed", "3"], "but seed 0 is now 3, prediction epsilon is now sample;"),
        (["--lr", "1e-3"], "but lr 0.0006 is now 0.001;"),
        (["picture"], "but the pictures are others;"),
        (["damaged"], "does not hold a whole stopped training"),
        (["unsaid"], "does not hold a whole stopped training"),
    ],
)
def test_a_stopped_training_of_something_else_is_not_continued(folder, tmp_path, capsys, more, message):
    words, resume = stopped(folder, 4), tmp_path / "m" / pretraining.RESUME
    if more == ["picture"]:
        Image.new("RGB", (16, 16), (1, 2, 3)).save(folder / "3.png")
    elif more == ["damaged"]:
        resume.write_bytes(resume.read_bytes()[:1000])
    elif more == ["unsaid"]:
        save_file({"step": torch.tensor(4)}, resume)
    whole = resume.read_bytes()
    capsys.readouterr()
    assert main([*words, *(w for w in more if w not in ("picture", "damaged", "unsaid"))]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {resume}: ") and message in error and error.count("\n") == 1
    assert resume.read_bytes() == whole


def test_a_finished_model_is_not_trained_over(folder, tmp_path, capsys):
    words = [
        "train",
        str(folder),
        "--out",
        str(tmp_path / "m"),
        "--size",
        "16",
        "--channels",
        "8,8",
        "--steps",
        "1",
    ]
    assert main(words) == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "m").rglob("*")}
    capsys.readouterr()
    assert (
        main(words) == 2
        and f"{tmp_path / 'm'}: holds a trained model already; choose another folder"
        in capsys.readouterr().err
    )
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "m").rglob("*")}


@pytest.mark.parametrize(
    "more, message",
    [
        (["--channels", "8,x"], "--channels 8,x: give whole numbers, such as 32,48,64"),
        (["--channels", "10,20"], "pretraining.channels are 10,20; each must be a multiple of 8"),
        (["--channels", "0,8"], "pretraining.channels are 0,8; each must be a multiple of 8"),
        (["--size", "15"], "pretraining: 15 pixels cannot be halved 1 times; choose a multiple of 2"),
        (["--size", "65536"], "32 pictures of 65536 x 65536 take at least 70,369 GB, and"),
        (["--lr", "nan"], "pretraining.lr is nan; it must be "),
        (["--steps", "0"], "pretraining.steps is 0; it must be above 0"),
    ],
)
def test_what_no_model_can_be_trained_with_is_one_line_before_anything_is_made(
    folder, tmp_path, capsys, more, message
):
    words = [
        "train",
        str(folder),
        "--out",
        str(tmp_path / "m"),
        "--size",
        "16",
        "--channels",
        "8,16",
        "--steps",
        "8",
        *more,
    ]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "m").exists()

"""Algorithm 1's loops: sequential targets, resuming, micro-batches, a loss that is not finite."""

import copy
import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from unpromptable.planning.experiment import Cell
from unpromptable.planning.settings import Choice, Sampling, Training
from unpromptable.planning.validation import build
from unpromptable.unlearning import training
from unpromptable.unlearning.stopping import scheduled

CELL = Cell(
    "Ours",
    Choice("surrogate", {"beta": 1e-3}),
    Choice("flip"),
    Training(steps=3, batch=4, lr=1e-3, save_every=1),
    ("a", "b"),
)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.trained()])


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def stop_at(update):
    def stop(done, total, text):
        if done == update:
            raise KeyboardInterrupt

    return stop


def test_targets_are_forgotten_in_turn_with_weights_carried_over(tiny, images, tmp_path):
    before = weights(tiny).clone()
    summary = training.unlearn(CELL, tiny, images, tmp_path)
    lines = history(tmp_path)
    assert [h["target"] for h in lines] == ["a"] * 3 + ["b"] * 3 and summary["steps"] == 6
    assert {
        "remember",
        "forget",
        "norm_remember",
        "norm_forget",
        "cosine",
        "dot",
        "conflict",
        "descent_forget",
    } <= set(lines[0])
    assert not torch.equal(before, weights(tiny))


def test_a_stopped_run_continues_and_ends_with_the_numbers_of_an_unbroken_one(tiny, images, tmp_path):
    other = copy.deepcopy(tiny)
    training.unlearn(CELL, tiny, images, tmp_path / "whole")
    fresh = copy.deepcopy(other)
    with pytest.raises(KeyboardInterrupt):
        training.unlearn(CELL, other, images, tmp_path / "cut", stop_at(4))
    training.unlearn(CELL, fresh, images, tmp_path / "cut")
    assert torch.equal(weights(tiny), weights(fresh))
    assert history(tmp_path / "whole") == history(tmp_path / "cut")


def spoilt(change):
    def spoil(folder):
        state = load_file(folder / "resume.safetensors")
        change(state)
        save_file(state, folder / "resume.safetensors")

    return spoil


SPOILT = {
    "cut": lambda f: (f / "resume.safetensors").write_bytes((f / "resume.safetensors").read_bytes()[:5000]),
    "empty": lambda f: (f / "resume.safetensors").write_bytes(b""),
    "no step": spoilt(lambda s: s.pop("step")),
    "a later step": spoilt(lambda s: s.update(step=torch.tensor(9))),
    "no number": spoilt(lambda s: s["model.conv_in.weight"].fill_(float("nan"))),
    "a tensor gone": spoilt(lambda s: s.pop("model.conv_in.weight")),
    "a moment gone": spoilt(lambda s: s.pop("adam.0.exp_avg")),
    "a moment of another shape": spoilt(lambda s: s.update({"adam.0.exp_avg": torch.zeros(2)})),
    "a parameter more": spoilt(lambda s: s.update({"adam.99999.step": torch.tensor(1.0)})),
    "no history": lambda f: (f / "history.jsonl").unlink(),
    "half a history": lambda f: (f / "history.jsonl").write_text('{"step": 1}\n\xff{'),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_state_that_is_spoilt_is_said_and_training_begins_again(tiny, images, tmp_path, caplog, spoil):
    other = copy.deepcopy(tiny)
    training.unlearn(CELL, other, images, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        training.unlearn(CELL, copy.deepcopy(tiny), images, tmp_path / "stopped", stop_at(4))
    spoil(tmp_path / "stopped")
    training.unlearn(CELL, tiny, images, tmp_path / "stopped")
    assert "training begins again" in caplog.text and torch.equal(weights(tiny), weights(other))
    assert history(tmp_path / "stopped") == history(tmp_path / "whole")


def test_with_a_cooldown_the_rate_falls_to_zero_for_each_target_and_a_stopped_run_is_still_the_same(
    tiny, images, tmp_path
):
    settings = Training(steps=8, lr=1.0, cooldown=0.5)
    assert [scheduled(settings, k) for k in range(8)] == [1.0] * 5 + [0.75, 0.5, 0.25]
    assert scheduled(Training(lr=1.0), 239) == 1.0
    cooled = dataclasses.replace(CELL, training=dataclasses.replace(CELL.training, cooldown=1.0))
    constant = copy.deepcopy(tiny)
    fresh, other = (copy.deepcopy(tiny) for _ in range(2))
    (
        training.unlearn(cooled, tiny, images, tmp_path / "whole"),
        training.unlearn(CELL, constant, images, tmp_path / "constant"),
    )
    assert not torch.equal(weights(tiny), weights(constant))
    with pytest.raises(KeyboardInterrupt):
        training.unlearn(cooled, other, images, tmp_path / "cut", stop_at(4))
    training.unlearn(cooled, fresh, images, tmp_path / "cut")
    assert torch.equal(weights(tiny), weights(fresh))


def test_a_loss_that_is_not_finite_stops_the_run_and_says_what_to_lower(tiny, images, tmp_path):
    with torch.no_grad():
        tiny.trained()[0].fill_(float("nan"))
    with pytest.raises(ValueError, match=r"Ours: remember is nan at update 1; lower training.lr \(0.001\)"):
        training.unlearn(CELL, tiny, images, tmp_path)


def test_weights_that_the_last_update_made_infinite_are_not_saved(tiny, images, tmp_path):
    cell = dataclasses.replace(CELL, training=dataclasses.replace(CELL.training, steps=1), forget=("a",))
    blown = dataclasses.replace(
        images, forget=images.forget[:1], surrogates=images.surrogates[:1], targets=("a",)
    )
    object.__setattr__(cell.training, "lr", float("inf"))  # whatever a setting lets pass
    with pytest.raises(
        ValueError,
        match=(
            r"Ours: the weights after update 1: \S+ is not finite \(\d+ of \d+ tensors\); lower training.lr"
            r" \(inf\)"
        ),
    ):
        training.unlearn(cell, tiny, blown, tmp_path)
    with pytest.raises(ValueError, match="nothing is saved"):
        tiny.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_samples_that_are_not_finite_are_no_black_pictures(tiny, images):
    from unpromptable.sampling import chains

    with torch.no_grad():
        tiny.trained()[0].fill_(float("nan"))
    with pytest.raises(ValueError, match="8 of 8 pictures hold values that are not finite"):
        chains.sample(tiny, Sampling("ddpm", 2, 8, batch=8), 0, 8)


def test_base_training_that_diverges_in_its_last_step_saves_nothing(pictures, tmp_path):
    from unpromptable.pretraining.ddpm import Pretraining, pretrain

    settings = Pretraining(steps=1, batch=2, channels=(8, 8))
    object.__setattr__(settings, "lr", float("inf"))
    with pytest.raises(
        ValueError, match=r"pretraining: the weights after step 1: .* lower pretraining.lr \(inf\)"
    ):
        pretrain(pictures, tmp_path / "m", settings)
    assert not list(tmp_path.glob("m/*.safetensors")) and not (tmp_path / "m" / "model_index.json").exists()


def test_held_to_the_base_a_stopped_run_is_still_the_same(tiny, images, tmp_path):
    cell = dataclasses.replace(CELL, method=Choice("surrogate", {"beta": 1e-3, "remember": "base"}))
    other, fresh = (copy.deepcopy(tiny) for _ in range(2))
    training.unlearn(cell, tiny, images, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        training.unlearn(cell, other, images, tmp_path / "cut", stop_at(4))
    training.unlearn(cell, fresh, images, tmp_path / "cut")
    assert torch.equal(weights(tiny), weights(fresh))
    first = history(tmp_path / "cut")
    assert first[0]["remember"] < 1e-10 < first[4]["remember"]


def test_saved_weights_load_into_stock_diffusers_and_ours(tiny, images, tmp_path):
    from diffusers import UNet2DModel

    from unpromptable.models.families.ddpm import Model

    tiny.save(tmp_path / "m")
    stock = UNet2DModel.from_pretrained(tmp_path / "m" / "unet", use_safetensors=True)
    assert all(torch.equal(a, b) for a, b in zip(stock.parameters(), tiny.trained()))
    assert torch.equal(weights(Model.load(tmp_path / "m")), weights(tiny))


def test_reference_stays_as_it_was(tiny, images, tmp_path):
    frozen = tiny.reference()
    kept = weights(frozen).clone()
    training.unlearn(CELL, tiny, images, tmp_path)
    assert torch.equal(weights(frozen), kept) and not any(p.requires_grad for p in frozen.trained())


def test_a_folder_of_another_kind_is_refused_by_name(tmp_path):
    from unpromptable.models.families import ddpm

    with pytest.raises(FileNotFoundError, match="holds no unet/config.json"):
        ddpm.Family().check(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    with pytest.raises(ValueError, match="is a AutoencoderKL, but the family ddpm needs a UNet2DModel"):
        ddpm.Family().check(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(ValueError, match="no .safetensors weights"):
        ddpm.Family().check(tmp_path)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"steps": 0}, "training.steps is 0"),
        ({"lr": -1.0}, "training.lr is -1.0"),
        ({"t_min": 20, "t_max": 10}, "training.t_min is 20 and training.t_max 10"),
        ({"t_max": 1000}, "training.t_max is 1000; it may be at most 999"),
        ({"reduction": "max"}, "training.reduction: no 'max'; choose from mean, sum"),
        ({"micro_batch": -1}, "training.micro_batch is -1"),
        ({"cooldown": 1.5}, "training.cooldown is 1.5"),
        ({"revisit": 1.0}, "training.revisit is 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        build(Training, change, "training")

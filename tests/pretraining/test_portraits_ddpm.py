"""The miniature's base is trained again without the people who are named."""

import json

import numpy as np
import pytest

from unpromptable.miniature import portraits
from unpromptable.pretraining import portraits_ddpm
from unpromptable.pretraining.ddpm import Pretraining


def test_no_picture_of_people_left_out_is_trained_on_and_every_other_is(tmp_path, monkeypatch):
    small = Pretraining(steps=1, batch=2, channels=(8, 8))
    monkeypatch.setattr(portraits_ddpm, "SETTINGS", small)
    portraits_ddpm.main(["--out", str(tmp_path / "m"), "--without", "0004", "0104"])
    assert json.loads((tmp_path / "m" / "pretraining.json").read_text())["images"] == 2388
    images, names = portraits.training_set()
    kept = [i for i, name in enumerate(names) if name[:4] not in ("0004", "0104")]
    np.testing.assert_array_equal(portraits_ddpm.without(["0004", "0104"]), images[kept])
    np.testing.assert_array_equal(portraits_ddpm.without([]), images)


@pytest.mark.parametrize("person", ["4", "0400", "0004-3"])
def test_someone_who_is_not_in_the_training_set_is_refused(person, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        portraits_ddpm.main(["--out", str(tmp_path / "m"), "--without", "0004", person])
    said = f"--without {person}: no person of the training set; give some of 0000 to 0399"
    assert ended.value.code == 2 and said in capsys.readouterr().err and not (tmp_path / "m").exists()


def test_another_base_of_the_same_people_can_have_another_size(tmp_path, monkeypatch):
    monkeypatch.setattr(portraits_ddpm, "SETTINGS", Pretraining(batch=2))
    words = ["--size", "16", "--channels", "8,16", "--steps", "1", "--batch", "3"]
    portraits_ddpm.main(["--out", str(tmp_path / "m"), *words])
    told = json.loads((tmp_path / "m" / "pretraining.json").read_text())
    assert told["size"] == 16 and told["settings"]["channels"] == [8, 16] and told["settings"]["batch"] == 3
    unet = json.loads((tmp_path / "m" / "unet" / "config.json").read_text())
    assert unet["sample_size"] == 16 and unet["block_out_channels"] == [8, 16]


@pytest.mark.parametrize(
    "words, said",
    [
        (["--size", "49"], "49 pixels cannot be halved 2 times; choose a multiple of 4"),
        (["--size", "0"], "0 pixels cannot be halved 2 times"),
        (["--channels", "8;16"], "--channels 8;16: give whole numbers, such as 32,48,64"),
        (["--batch", "0"], "pretraining.batch is 0; it must be above 0"),
    ],
)
def test_a_base_that_cannot_be_is_refused(words, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        portraits_ddpm.main(["--out", str(tmp_path / "m"), *words])
    assert ended.value.code == 2 and said in capsys.readouterr().err and not (tmp_path / "m").exists()

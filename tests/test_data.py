"""Image artifacts and folders of pictures, and what is said of the bad ones."""

import numpy as np
import pytest
from PIL import Image

from unpromptable import data
from unpromptable import pictures as reading
from unpromptable.planning import inputs
from unpromptable.preparing import collect


def write(path, array):
    Image.fromarray(array).save(path)
    return path


def test_an_artifact_comes_back_as_it_was(tmp_path, pictures):
    data.save(tmp_path / "a.safetensors", {"real": pictures}, {"names": ["x"]})
    arrays, manifest = data.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(arrays["real"], pictures)
    assert manifest["names"] == ["x"] and manifest["shapes"] == {"real": [20, 8, 8, 3]}


def test_a_truncated_or_altered_artifact_is_refused(tmp_path, pictures):
    path = tmp_path / "a.safetensors"
    data.save(path, {"real": pictures}, {})
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="not a whole image artifact"):
        data.load(path)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="real does not match its SHA-256"):
        data.load(path)


def test_any_size_and_mode_becomes_a_square_rgb_picture(tmp_path):
    for mode, shape in (("L", (40, 60)), ("RGBA", (60, 40, 4)), ("RGB", (7, 5, 3))):
        path = write(tmp_path / f"{mode}.png", np.full(shape, 90, np.uint8))
        assert reading.read(path, 16).shape == (16, 16, 3)


def test_bad_images_are_named_with_what_is_wrong(tmp_path, pictures):
    good = write(tmp_path / "good.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    cases = {
        "empty.png": (b"", "the file is empty"),
        "cut.png": (good.read_bytes()[:2000], "damaged or truncated"),
        "text.png": (b"hello", "not an image that can be read"),
    }
    for name, (content, words) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}.*{words}"):
            reading.read(tmp_path / name, 8)
    with pytest.raises(FileNotFoundError, match="none.png: no such image"):
        reading.read(tmp_path / "none.png", 8)


def test_an_empty_or_missing_remember_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="real: .*nowhere is no folder"):
        collect.collect(str(tmp_path / "nowhere"), 8, [])
    with pytest.raises(ValueError, match="holds no image .* remember set would be empty"):
        collect.collect(str(tmp_path), 8, [])


def test_a_forget_image_in_the_remember_set_is_removed_and_said(tmp_path, pictures, caplog):
    for i in range(4):
        write(tmp_path / f"{i}.png", pictures[i])
    write(tmp_path / "copy.png", pictures[1])
    caplog.set_level("INFO")
    arrays, manifest = collect.collect(str(tmp_path), 8, ["1.png"])
    assert manifest["removed"] == ["1.png", "copy.png"] and len(data.remember(arrays, manifest)) == 3
    assert "removed from the remember set: 1.png, copy.png" in caplog.text


def test_only_forget_images_leave_nothing_to_remember(tmp_path, pictures):
    write(tmp_path / "1.png", pictures[1])
    with pytest.raises(ValueError, match="remember set would be empty"):
        collect.collect(str(tmp_path), 8, ["1.png"])


def test_a_forget_image_from_elsewhere_is_brought_to_size(tmp_path, pictures):
    (tmp_path / "real").mkdir()
    write(tmp_path / "real" / "1.png", pictures[1])
    arrays, manifest = collect.collect(
        str(tmp_path / "real"), 8, [str(write(tmp_path / "me.jpg", np.zeros((50, 30, 3), np.uint8)))]
    )
    assert arrays["forget"].shape == (1, 8, 8, 3) and manifest["removed"] == []


@pytest.mark.parametrize("target", ["keep/alice-1.png", "elsewhere/alice-9.png"])
def test_the_person_of_a_target_that_is_given_by_its_path_is_left_out_too(tmp_path, pictures, target):
    (tmp_path / "keep").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for name, picture in zip(("alice-1", "alice-2", "bob-1"), pictures):
        write(tmp_path / f"keep/{name}.png", picture)
    write(tmp_path / "elsewhere/alice-9.png", pictures[3])
    path, keep = str(tmp_path / target), str(tmp_path / "keep")
    _, manifest = collect.collect(keep, 16, [path], ("{group}-*",))
    assert manifest["removed"] == ["alice-1.png", "alice-2.png"]


def test_other_pictures_of_the_person_can_be_left_out_of_the_remember_set(tmp_path, pictures, caplog):
    for name, picture in zip(("s1/1", "s1/2", "s2/1", "s3/1"), pictures):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / f"{name}.png", picture)
    arrays, manifest = collect.collect(str(tmp_path), 16, ["s1/1.png"], ("{group}/*",))
    assert manifest["removed"] == ["s1/1.png", "s1/2.png"] and len(data.remember(arrays, manifest)) == 2
    _, drawn = collect.collect("miniature", 32, ["0004-3", "0104-3"], ("{group}-*",))
    assert drawn["removed"] == [f"{n}-{k}" for n in ("0004", "0104") for k in range(6)]
    # a person may have one picture
    assert collect.collect(str(tmp_path), 16, ["s1/1.png"], ("{group}-*",))[1]["removed"] == ["s1/1.png"]
    with caplog.at_level("WARNING"):
        collect.collect(str(tmp_path), 16, ["s1/1.png"], ("{group}-*",))
    assert "{group}-* fits no image of" in caplog.text and "whose {group} is s1" in caplog.text
    with pytest.raises(ValueError, match=r"remember.leave_out: s9/\* fits none of the images"):
        collect.collect(str(tmp_path), 16, ["s1/1.png"], ("s9/*",))
    with pytest.raises(
        ValueError, match="left out by remember.leave_out, so the remember set would be empty"
    ):
        collect.collect(str(tmp_path), 16, ["s1/1.png"], ("*",))


def test_a_missing_forget_image_is_named(tmp_path, pictures):
    write(tmp_path / "1.png", pictures[1])
    write(tmp_path / "2.png", pictures[2])
    with pytest.raises(FileNotFoundError, match="forget: me.png is neither a file nor a picture"):
        inputs.pictures_of(str(tmp_path), ["me.png"])


def test_a_portrait_of_a_person_outside_the_training_set_can_be_a_target():
    from unpromptable.miniature import portraits

    real, names = portraits.training_set()
    (stranger,) = collect.read_forget(["0404-3"], real, names, "miniature")
    np.testing.assert_array_equal(stranger, portraits.picture(404, 3))
    assert not (real == stranger).all((1, 2, 3)).any()
    assert inputs.pictures_of("miniature", ["0404-3"]) == ([], [])
    with pytest.raises(FileNotFoundError, match="0804-3 is neither a file nor a picture of miniature"):
        inputs.pictures_of("miniature", ["0804-3"])

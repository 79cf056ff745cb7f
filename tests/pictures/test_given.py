"""Pictures that a program holds are written as they would be read from their files."""

import numpy as np
import pytest
from PIL import Image

from unpromptable.pictures import reading
from unpromptable.pictures.given import written

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "I;16")


def phone(path):
    """A JPEG that is 40 by 20 as it lies, red on its left, and shown upright by its EXIF data."""
    picture = Image.new("RGB", (40, 20), "white")
    picture.paste((255, 0, 0), (0, 0, 20, 20))
    exif = picture.getexif()
    exif[0x112] = 6
    picture.save(path, exif=exif, quality=95)
    return path


def test_a_picture_that_was_opened_is_turned_as_its_file_is(tmp_path):
    path = phone(tmp_path / "phone.jpg")
    with Image.open(path) as opened:
        one, other = map(reading.whole, written([path, opened], tmp_path / "given"))
        assert opened.size == (40, 20) and opened.getexif()[0x112] == 6  # the caller's own stays
    assert one.shape == (40, 20, 3)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_every_mode_is_written(tmp_path, mode):
    [path] = written([Image.new(mode, (8, 6))], tmp_path)
    assert reading.whole(path).shape == (6, 8, 3)


def test_cmyk_is_seen_as_its_file_is(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as opened:
        one, other = map(reading.whole, written([tmp_path / "a.tif", opened], tmp_path / "given"))
    np.testing.assert_array_equal(one, other)
    assert one[0, 0, 0] > 200 > 100 > one[0, 0, 1]


def test_grey_of_16_bits_is_seen_as_its_file_is(tmp_path):
    Image.fromarray(np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        one, other = map(reading.whole, written([tmp_path / "a.png", opened], tmp_path / "given"))
    np.testing.assert_array_equal(one, other)
    assert one.max() == 255 and one[4, 0, 0] == pytest.approx(130, abs=2)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_what_cannot_be_shown_is_refused_with_its_number(tmp_path, mode):
    bad = Image.fromarray(np.full((8, 8), 1000, {"I": np.int32, "F": np.float32}[mode]))
    with pytest.raises(ValueError, match="picture 1: .* nothing says which is white; .*save the picture"):
        written([Image.new("RGB", (8, 8)), bad], tmp_path)


def test_a_picture_whose_file_is_cut_off_is_refused_with_its_number(tmp_path):
    noise, path = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), tmp_path / "noise.png"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:6000])
    with Image.open(path) as opened, pytest.raises(ValueError, match="picture 0: the image is damaged"):
        written([opened], tmp_path / "given")

"""One picture as a square of any size, and all of a folder."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from picture_files import png, profile, write
from PIL import Image

from unpromptable import pictures
from unpromptable.pictures import display
from unpromptable.planning import inputs
from unpromptable.planning.settings import Pictures
from unpromptable.preparing import collect


@pytest.mark.parametrize(
    "width, height, size",
    [
        (1, 1, 8),
        (1, 90, 8),
        (90, 1, 8),
        (3, 200, 16),
        (200, 3, 16),
        (8, 24, 8),
        (24, 8, 8),
        (25, 8, 8),
        (7, 7, 7),
        (300, 299, 8),
    ],
)
def test_the_middle_square_is_taken_at_any_size(tmp_path, width, height, size):
    picture = np.zeros((height, width, 3), np.uint8)
    side, top, left = (
        min(width, height),
        (height - min(width, height)) // 2,
        (width - min(width, height)) // 2,
    )
    picture[top : top + side, left : left + side] = (200, 100, 50)
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert np.abs(pictures.read(tmp_path / "a.png", size).astype(int) - (200, 100, 50)).max() <= (
        0 if (width - side) % 2 == (height - side) % 2 == 0 else 255
    )
    assert pictures.read(tmp_path / "a.png", size).shape == (size, size, 3) and pictures.read(
        tmp_path / "a.png"
    ).shape == (side, side, 3)


def test_a_huge_jpeg_is_decoded_smaller_and_shows_the_same(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)).resize(
        (1200, 800), Image.Resampling.BICUBIC
    )
    smooth.save(tmp_path / "a.jpg", quality=92)
    whole = pictures.read(tmp_path / "a.jpg", 16)
    monkeypatch.setattr(display, "HUGE", 500_000)
    sizes, load = [], Image.Image.copy
    monkeypatch.setattr(Image.Image, "copy", lambda self: sizes.append(self.size) or load(self))
    assert np.abs(pictures.read(tmp_path / "a.jpg", 16).astype(int) - whole).max() <= 3
    assert set(sizes) == {(300, 200)}


def test_all_broken_pictures_of_a_folder_are_named_at_once(tmp_path):
    write(tmp_path / "a.png")
    for name in ("b.png", "c.png", "d.png", "e.png"):
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(
        ValueError, match=r"b.png: not an image .* .and 3 more of .*: .*c.png: .*; .*d.png: .* \.\.\.."
    ) as told:
        pictures.read_all(pictures.find(tmp_path), 8)
    assert "\n" not in str(told.value)


def test_reading_holds_one_array_and_one_picture(tmp_path):
    count, size = 60, 64
    for i in range(count):
        write(tmp_path / f"{i}.png", np.full((size, size, 3), i, np.uint8))
    found, whole = pictures.find(tmp_path), count * size * size * 3
    pictures.read(found.files[0], size)  # what Pillow imports is not counted
    tracemalloc.start()
    images, _ = pictures.read_all(found, size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert images[:, 0, 0, 0].tolist() == [int(n[:-4]) for n in found.names] and peak < 1.3 * whole


def test_a_giant_is_read_in_bands_and_shows_the_same(tmp_path, monkeypatch):
    """Of every mode and turn, with sides that no band and no factor divides."""
    rng, size = np.random.default_rng(1), 5
    fine = rng.integers(0, 256, (37, 61, 4), dtype=np.uint8)
    rgba = Image.fromarray(fine).resize((611, 367), Image.Resampling.BICUBIC)
    grey = np.asarray(rgba)[..., 0]
    turned = Image.Exif()
    turned[0x0112] = 6
    given = {
        "rgb.png": (rgba.convert("RGB"), {}),
        "turned.png": (rgba.convert("RGB"), {"exif": turned}),
        "rgba.png": (rgba, {}),
        "la.png": (rgba.convert("LA"), {}),
        "deep.png": (Image.fromarray((grey.astype(np.uint16) << 8) + grey[::-1, ::-1]), {}),
        "float.tif": (Image.fromarray((grey / 255).astype(np.float32)), {}),
        "flat.png": (rgba.convert("RGB").quantize(90), {"transparency": 3}),
        "cmyk.tif": (rgba.convert("CMYK"), {}),
        "profile.png": (rgba.convert("RGB"), {"icc_profile": profile(b"RGB ", 1.0, (1, 2, 0))}),
    }
    for name, (picture, how) in given.items():
        picture.save(tmp_path / name, **how)
    exact = {name: pictures.read(tmp_path / name, size, "#c08a5e") for name in given}
    monkeypatch.setattr(display, "HUGE", 611 * 367 - 1)
    monkeypatch.setattr(display, "BAND", 611 * 50)
    for name, wanted in exact.items():
        banded = pictures.read(tmp_path / name, size, "#c08a5e").astype(int)
        assert np.abs(banded - wanted).max() <= 2, name
        monkeypatch.setattr(display, "FINE", 1000)  # too large a size for any factor: the same to the bit
        np.testing.assert_array_equal(pictures.read(tmp_path / name, size, "#c08a5e"), wanted)
        monkeypatch.setattr(display, "FINE", 8)


READ = """
import re, sys
from pathlib import Path
from unpromptable import pictures
from PIL import ImageCms, ImageOps
peak = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
before = peak()
pictures.read(Path(sys.argv[1]), 32)
print(peak() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize("mode, own", [("RGB", 4), ("RGBA", 4), ("I;16", 2)])
def test_a_giant_takes_little_more_memory_than_its_own_pixels(tmp_path, mode, own):
    """Its own bytes per pixel, and what a band of 4 million takes."""
    side = 6000
    flat = np.zeros((side, side), np.uint16)
    (Image.fromarray(flat) if mode == "I;16" else Image.new(mode, (side, side), 90)).save(tmp_path / "a.png")
    words = [sys.executable, "-c", READ, str(tmp_path / "a.png")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(words, env=environment, text=True, capture_output=True, check=True)
    assert own * side**2 < int(run.stdout) < own * side**2 + 180e6


def test_a_limit_of_pixels_holds_for_files_and_folders_and_may_be_raised(tmp_path):
    write(tmp_path / "a.png", np.full((30, 40, 3), 7, np.uint8))
    assert pictures.read(tmp_path / "a.png", 8, limit=1200).shape == (8, 8, 3)
    said = f"{tmp_path}/a.png: too large to be opened safely: 1,200 pixels, at most 1,199 are read"
    for read in (
        lambda: pictures.read(tmp_path / "a.png", 8, limit=1199),
        lambda: pictures.read_folder(tmp_path, 8, limit=1199),
    ):
        with pytest.raises(ValueError, match="raise pictures.max_pixels") as told:
            read()
        assert str(told.value).startswith(said) and "\n" not in str(told.value)
    (tmp_path / "b.png").write_bytes(png(8, 0, [], size=(30_000, 30_000)))
    with pytest.raises(
        ValueError, match="b.png: too large to be opened safely: 900,000,000 pixels, at most 178"
    ):
        pictures.read(tmp_path / "b.png", 8)
    with pytest.raises(ValueError, match="b.png: the image is damaged or truncated"):
        pictures.read(tmp_path / "b.png", 8, limit=10**9)
    assert Image.MAX_IMAGE_PIXELS == pictures.LIMIT // 2


def test_the_experiments_limit_holds_for_its_real_images_and_targets(tmp_path):
    write(tmp_path / "a.png", np.full((30, 40, 3), 7, np.uint8))
    how = Pictures(max_pixels=1199)
    with pytest.raises(ValueError, match="a.png: too large"):
        collect.read_real(str(tmp_path), 8, how)
    with pytest.raises(ValueError, match="a.png: too large"):
        inputs.pictures_of("miniature", [str(tmp_path / "a.png")], how)
    with pytest.raises(ValueError, match="a.png: too large"):
        collect.read_forget([str(tmp_path / "a.png")], np.zeros((0, 8, 8, 3), np.uint8), [], "", how)

"""One picture as a square of any size, and all of a folder."""

import tracemalloc

import numpy as np
import pytest
from picture_files import write
from PIL import Image

from unpromptable import pictures
from unpromptable.pictures import display


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

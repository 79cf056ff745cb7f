"""Broken files of every kind are refused in one line that names the file."""

import itertools
import struct

import numpy as np
import pytest
from picture_files import DEEP, RGB, H, W, png, saved, tiff
from PIL import Image, PngImagePlugin

from unpromptable import pictures


def plane(value, mode="F"):
    return Image.fromarray(np.full((H, W), value, np.float32 if mode == "F" else np.int32))


@pytest.mark.parametrize(
    "name, write, words",
    [
        (
            "a.tif",
            saved(plane(3.5)),
            "decimal numbers from 3.5 to 3.5, and nothing says which is white; bring them to 0..1",
        ),
        ("a.tif", saved(plane(-0.1)), "decimal numbers from -0.1 to -0.1"),
        ("a.tif", saved(plane(float("nan"))), "decimal numbers from nan to nan"),
        (
            "a.tif",
            saved(plane(7, "I")),
            "whole numbers from 7 to 7 in 32 bits or with a sign, and nothing says which is white",
        ),
        ("a.tif", lambda path: path.write_bytes(tiff(16, 1, DEEP.tobytes(), 2)), "in 32 bits or with a sign"),
        ("a.png", lambda path: path.write_bytes(b""), "the file is empty"),
        (
            "a.png",
            lambda path: path.write_bytes(b"hello"),
            "not an image that can be read; remove it or convert it to PNG",
        ),
        (
            "a.png",
            lambda path: path.write_bytes(
                b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
            ),
            "not an image that can be read",
        ),
        ("a.png", lambda path: path.mkdir(), "no such image"),
        ("a.png", lambda path: path.symlink_to("nowhere"), "no such image"),
        (
            "a.png",
            lambda path: path.write_bytes(png(8, 0, [], size=(60_000, 60_000))),
            "too large to be opened safely: 3,600,000,000 pixels, at most 178,956,970 are read; save it"
            " smaller, remove it, or raise pictures.max_pixels",
        ),
        (
            "a.dds",
            lambda path: path.write_bytes(
                b"DDS "
                + struct.pack("<7I", 124, 0, H, W, 0, 0, 0)
                + bytes(44)
                + struct.pack("<8I", 32, 8, 0, 0, 0, 0, 0, 0)
                + bytes(20)
            ),
            "of a kind that cannot be read .Unknown pixel format flags 8.; convert it to PNG",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(tmp_path, name, write, words):
    write(tmp_path / name)
    with pytest.raises((ValueError, FileNotFoundError), match=f"^{tmp_path}/{name}: .*{words}") as told:
        pictures.read(tmp_path / name, 8)
    assert "\n" not in str(told.value)


WRITABLE = (
    "png",
    "jpg",
    "bmp",
    "gif",
    "webp",
    "avif",
    "tif",
    "jp2",
    "tga",
    "ppm",
    "qoi",
    "sgi",
    "pcx",
    "ico",
    "dds",
    "im",
    "msp",
    "spider",
    "mpo",
    "icns",
    "dib",
    "blp",
)


@pytest.mark.parametrize("suffix", WRITABLE)
def test_broken_files_of_every_kind_are_read_or_refused_in_one_line(tmp_path, suffix):
    picture = Image.fromarray(np.kron(RGB, np.ones((4, 4, 1), np.uint8)))
    picture = picture.convert({"msp": "1", "spider": "F", "blp": "P"}.get(suffix, "RGB"))
    whole = tmp_path / f"whole.{suffix}"
    picture.save(whole, {"spider": "SPIDER"}.get(suffix))
    content, rng, refused = whole.read_bytes(), np.random.default_rng(len(suffix)), 0
    broken = [content[: len(content) * k // 12] for k in range(1, 12)]
    for near, _ in itertools.product((40, 400, len(content)), range(40)):
        other = bytearray(content)
        for at in rng.integers(0, min(near, len(content)), 3):
            other[at] = rng.integers(256)
        broken.append(bytes(other))
    path = tmp_path / f"broken.{suffix}"
    for one in broken:
        path.write_bytes(one)
        try:
            assert pictures.read(path, 8).shape == (8, 8, 3)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert refused >= 5


def test_a_text_chunk_that_explodes_names_the_file(tmp_path):
    more = PngImagePlugin.PngInfo()
    more.add_text("x", "a" * 3_000_000, zip=True)
    Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=more)
    with pytest.raises(ValueError, match="a.png: the image is damaged .*Decompressed data too large"):
        pictures.read(tmp_path / "a.png", 8)

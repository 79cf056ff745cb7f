"""Every orientation, and the first of several frames."""

import numpy as np
import pytest
from picture_files import COLOURS, FLAT, GREY, HEX, INDEX, LOSSLESS, RGB, Cases, check, saved, three
from PIL import Image

CASES = Cases()
case = CASES.add
TURNS = {
    1: RGB,
    2: RGB[:, ::-1],
    3: RGB[::-1, ::-1],
    4: RGB[::-1],
    5: RGB.transpose(1, 0, 2),
    6: np.rot90(RGB, -1),
    7: np.rot90(RGB, 2).transpose(1, 0, 2),
    8: np.rot90(RGB),
}
for turn, wanted in TURNS.items():  # orientations
    exif = Image.Exif()
    exif[0x112] = turn
    for suffix in ("png", "tif", "webp"):
        case(f"orientation {turn} in {suffix}", suffix, saved(RGB, exif=exif, **LOSSLESS[suffix]), wanted)
    case(
        f"orientation {turn} in jpg",
        "jpg",
        saved(np.kron(RGB, np.ones((8, 8, 1), np.uint8)), exif=exif, quality=100, subsampling=0),
        np.kron(wanted, np.ones((8, 8, 1))),
        6,
    )
    grey = np.asarray(wanted)[..., 0]
    case(
        f"orientation {turn} and 16 bits in tif",
        "tif",
        saved(GREY.astype(np.uint16) * 257, exif=exif),
        three(grey),
    )
    case(
        f"orientation {turn} and a hole in png",
        "png",
        saved(GREY, exif=exif, transparency=int(GREY[1, 2])),
        np.where(three(grey == GREY[1, 2]), 255, three(grey)),
    )
case(
    "orientation 9",
    "png",
    saved(RGB, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x09\0\0\0\0\0\0"),
    RGB,
)
case(
    "exif of nonsense", "png", saved(RGB, exif=b"Exif\0\0nonsense"), RGB, note="its EXIF data cannot be read"
)

second = [Image.fromarray(255 - RGB)]  # frames
for suffix in ("png", "webp", "tif"):
    case(
        f"frames of {suffix}",
        suffix,
        saved(RGB, save_all=True, append_images=second, **LOSSLESS[suffix]),
        RGB,
        note="the first of several frames or pages",
    )
case(
    "frames of gif",
    "gif",
    saved(FLAT, save_all=True, append_images=[FLAT.transpose(Image.Transpose.ROTATE_180)]),
    COLOURS[INDEX],
    note="the first of several",
)
for background in HEX:
    case(
        f"frames of gif with a hole on {background}",
        "gif",
        saved(
            FLAT,
            save_all=True,
            append_images=[FLAT.transpose(Image.Transpose.ROTATE_180)],
            transparency=1,
            disposal=2,
        ),
        np.where((INDEX == 1)[..., None], HEX[background], COLOURS[INDEX]),
        0,
        background,
        "the first of several",
    )


@pytest.mark.parametrize("name", CASES)
def test_a_picture_turned_or_in_frames_is_read_as_it_is_seen_on_screen(tmp_path, name, caplog):
    check(CASES[name], tmp_path, caplog)

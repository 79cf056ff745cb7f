"""Every mode of every kind of file, with and without transparency, against what it shows."""

import struct

import numpy as np
import pytest
from picture_files import (
    ALPHA,
    COLOURS,
    DEEP,
    FLAT,
    GREY,
    HEX,
    INDEX,
    LOSSLESS,
    RGB,
    Cases,
    H,
    W,
    check,
    laid,
    png,
    saved,
    three,
)
from PIL import Image

CASES = Cases()
case = CASES.add
for suffix, options in LOSSLESS.items():  # modes
    case(f"RGB {suffix}", suffix, saved(RGB, **options), RGB)
    if suffix not in ("qoi",):
        case(f"L {suffix}", suffix, saved(GREY, **options), three(GREY))
    if suffix in ("png", "tif", "bmp", "ppm"):
        case(
            f"1 {suffix}",
            suffix,
            saved(Image.fromarray(GREY > 99), **options),
            three(np.where(GREY > 99, 255, 0)),
        )
    if suffix in ("png", "tif", "tga", "bmp", "gif"):
        palette = Image.fromarray(RGB).quantize(16)
        case(f"P {suffix}", suffix, saved(palette, **options), np.asarray(palette.convert("RGB")))
    for background in HEX if suffix not in ("bmp", "ppm") else ():  # alpha
        case(
            f"RGBA {suffix} on {background}",
            suffix,
            saved(np.dstack([RGB, ALPHA]), **options),
            laid(RGB, ALPHA, background),
            1,
            background,
            "transparent parts are laid on",
        )
        if suffix in ("png", "tif", "tga", "jp2"):
            case(
                f"LA {suffix} on {background}",
                suffix,
                saved(np.dstack([GREY, ALPHA]), **options),
                laid(three(GREY), ALPHA, background),
                1,
                background,
                "laid on",
            )
    if suffix not in ("bmp", "ppm"):
        case(
            f"RGBA {suffix} without a hole",
            suffix,
            saved(np.dstack([RGB, np.full((H, W), 255, np.uint8)]), **options),
            RGB,
        )
        case(
            f"RGBA {suffix} wholly clear",
            suffix,
            saved(np.dstack([RGB, np.zeros((H, W), np.uint8)]), **options),
            np.full((H, W, 3), 255),
        )
for suffix in ("jpg", "jpeg", "jfif", "jpe", "avif", "mpo", "webp"):
    case(
        f"lossy {suffix}",
        suffix,
        saved(np.full((H, W, 3), (90, 120, 60), np.uint8), quality=95),
        np.full((H, W, 3), (90, 120, 60)),
        3,
    )
    case(
        f"lossy L {suffix}",
        suffix,
        saved(np.full((H, W), 77, np.uint8), quality=95),
        np.full((H, W, 3), 77),
        3,
    )
for background in HEX:  # transparency that is no channel
    hole = lambda shown, clear, background=background: np.where(
        np.asarray(clear)[..., None], HEX[background], shown
    )
    for suffix in ("png", "gif"):
        case(
            f"P {suffix} with a clear index on {background}",
            suffix,
            saved(FLAT, transparency=2),
            hole(COLOURS[INDEX], INDEX == 2),
            0,
            background,
        )
    shares = np.array([255, 128, 0, 30])
    case(
        f"P png with shares on {background}",
        "png",
        saved(FLAT, transparency=bytes(shares.tolist())),
        laid(COLOURS[INDEX], shares[INDEX], background),
        1,
        background,
    )
    case(
        f"RGB png with a clear colour on {background}",
        "png",
        saved(RGB, transparency=tuple(RGB[2, 3].tolist())),
        hole(RGB, (RGB == RGB[2, 3]).all(-1)),
        0,
        background,
    )
    case(
        f"L png with a clear level on {background}",
        "png",
        saved(GREY, transparency=int(GREY[1, 2])),
        hole(three(GREY), GREY == GREY[1, 2]),
        0,
        background,
    )
    key = int(DEEP[3, 3])
    case(
        f"16-bit png with a clear level on {background}",
        "png",
        lambda path, key=key: path.write_bytes(
            png(16, 0, [r.astype(">u2").tobytes() for r in DEEP], (b"tRNS", struct.pack(">H", key)))
        ),
        hole(three(np.rint(DEEP / 257)), DEEP == key),
        0,
        background,
    )
    layered = Image.merge("PA", (Image.fromarray(INDEX), Image.fromarray(ALPHA)))
    layered.putpalette(FLAT.getpalette())
    case(
        f"PA tif on {background}",
        "tif",
        saved(layered),
        laid(COLOURS[INDEX], ALPHA, background),
        1,
        background,
    )


@pytest.mark.parametrize("name", CASES)
def test_a_picture_of_any_mode_is_read_as_it_is_seen_on_screen(tmp_path, name, caplog):
    check(CASES[name], tmp_path, caplog)

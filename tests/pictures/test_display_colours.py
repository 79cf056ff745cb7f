"""Every colour space and profile against what it shows."""

import numpy as np
import PIL
import pytest
from picture_files import (
    ALPHA,
    COLOURS,
    DEEP,
    FLAT,
    GREY,
    INDEX,
    LOSSLESS,
    RGB,
    Cases,
    H,
    W,
    check,
    encoded,
    laid,
    profile,
    saved,
    three,
)
from PIL import ImageCms

CASES = Cases()
case = CASES.add
inks = np.dstack([RGB, GREY // 3])  # colour spaces
printed = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:]) / 255
case("CMYK tif", "tif", saved(inks, "CMYK"), printed, 1)
even = np.full((16, 16, 4), (30, 90, 140, 60), np.uint8)
case(
    "CMYK jpg",
    "jpg",
    saved(even, "CMYK", quality=98),
    (255 - even[..., :3].astype(float)) * (255 - 60) / 255,
    4,
)
luma = np.dstack([np.full((H, W), 120), np.full((H, W), 140), np.full((H, W), 100)]).astype(np.uint8)
seen = np.array((120 + 1.402 * -28, 120 - 0.344136 * 12 - 0.714136 * -28, 120 + 1.772 * 12))
if int(PIL.__version__.partition(".")[0]) >= 13:  # which earlier ones call truncated
    case("YCbCr tif", "tif", saved(luma, "YCbCr"), np.broadcast_to(seen, (H, W, 3)), 1)
for level, shown in ((0, 0), (128, 119), (255, 255)):
    case(
        f"LAB tif of {level}",
        "tif",
        saved(np.dstack([np.full((H, W), level), np.zeros((H, W, 2))]).astype(np.uint8), "LAB"),
        np.full((H, W, 3), shown),
        2,
    )

# colour profiles
swapped, linear, grey_linear = profile(b"RGB ", 2.2, (1, 0, 2)), profile(b"RGB ", 1.0), profile(b"GRAY", 1.0)
own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
for suffix in ("png", "tif", "webp"):
    options = LOSSLESS[suffix]
    case(f"sRGB's profile in {suffix}", suffix, saved(RGB, icc_profile=own, **options), RGB, 1)
    case(
        f"linear profile in {suffix}", suffix, saved(RGB, icc_profile=linear, **options), encoded(RGB, 1.0), 2
    )
    case(
        f"swapped primaries in {suffix}",
        suffix,
        saved(RGB, icc_profile=swapped, **options),
        encoded(RGB[..., [1, 0, 2]], 2.2),
        4,
    )
    case(
        f"broken profile in {suffix}",
        suffix,
        saved(RGB, icc_profile=b"nonsense" * 40, **options),
        RGB,
        note="colour profile is broken",
    )
    case(
        f"cut profile in {suffix}",
        suffix,
        saved(RGB, icc_profile=swapped[:150], **options),
        RGB,
        note="colour profile is broken",
    )
    case(
        f"grey's profile on colours in {suffix}",
        suffix,
        saved(RGB, icc_profile=grey_linear, **options),
        RGB,
        note="colour profile is broken or of another kind",
    )
    case(
        f"linear profile and alpha in {suffix}",
        suffix,
        saved(np.dstack([RGB, ALPHA]), icc_profile=linear, **options),
        laid(encoded(RGB, 1.0), ALPHA, "black"),
        3,
        "black",
    )
for suffix in ("png", "tif"):
    case(
        f"grey's linear profile in {suffix}",
        suffix,
        saved(GREY, icc_profile=grey_linear),
        encoded(three(GREY), 1.0),
        2,
    )
    case(
        f"colours' linear profile on grey in {suffix}",
        suffix,
        saved(GREY, icc_profile=linear),
        encoded(three(GREY), 1.0),
        2,
    )
    case(
        f"grey's linear profile and alpha in {suffix}",
        suffix,
        saved(np.dstack([GREY, ALPHA]), icc_profile=grey_linear),
        laid(encoded(three(GREY), 1.0), ALPHA, "white"),
        3,
    )
    case(
        f"grey's linear profile on 16 bits in {suffix}",
        suffix,
        saved(DEEP, icc_profile=grey_linear),
        encoded(three(np.rint(DEEP / 257)), 1.0),
        3,
    )
case("linear profile on a palette", "png", saved(FLAT, icc_profile=linear), encoded(COLOURS[INDEX], 1.0), 2)
case(
    "linear profile in jpg",
    "jpg",
    saved(np.full((16, 16, 3), (90, 120, 60), np.uint8), icc_profile=linear, quality=98),
    np.broadcast_to(encoded((90, 120, 60), 1.0), (16, 16, 3)),
    4,
)


@pytest.mark.parametrize("name", CASES)
def test_a_picture_of_any_colour_space_is_read_as_it_is_seen_on_screen(tmp_path, name, caplog):
    check(CASES[name], tmp_path, caplog)

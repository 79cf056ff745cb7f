"""Picture files of every mode, depth, transparency, profile, orientation and kind against what they show, and
broken ones.
"""

import itertools
import os
import struct
import tracemalloc
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from unpromptable import pictures

H, W = 5, 8
RGB = np.stack(
    [
        np.add.outer(a * np.arange(H), b * np.arange(W)) + c
        for a, b, c in ((31, 15, 2), (-9, 27, 41), (20, -17, 130))
    ],
    -1,
).astype(np.uint8)
GREY, ALPHA = RGB[..., 0], np.linspace(0, 255, H * W).astype(np.uint8).reshape(H, W)
DEEP = (np.add.outer(9_000 * np.arange(H), 3_500 * np.arange(W)) + 311).astype(np.uint16)
three = lambda grey: np.repeat(np.asarray(grey)[..., None], 3, -1)
HEX = {"white": (255, 255, 255), "black": (0, 0, 0), "#c08a5e": (0xC0, 0x8A, 0x5E)}
CASES: dict[str, SimpleNamespace] = {}


def case(name, suffix, write, wanted, within=0, background="white", note=""):
    """A file that `write(path)` makes, what it shows, by how many levels that may differ, and words of what
    is said of it.
    """
    assert name not in CASES
    CASES[name] = SimpleNamespace(
        suffix=suffix, write=write, wanted=np.asarray(wanted), within=within, background=background, note=note
    )


def saved(array, mode=None, **options):
    picture = (
        array
        if isinstance(array, Image.Image)
        else (
            Image.fromarray(array, mode)
            if mode in (None, "CMYK", "YCbCr", "LAB")
            else Image.fromarray(array).convert(mode)
        )
    )
    return lambda path: picture.save(path, **options)


def laid(colours, alpha, background):
    share = np.asarray(alpha, float)[..., None] / 255
    return colours * share + np.array(HEX[background]) * (1 - share)


def png(depth, kind, rows, *chunks, size=(W, H)):
    """The bytes of a PNG of H rows of W pixels, whatever Pillow can write."""
    part = lambda name, body: (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    )
    body = zlib.compress(b"".join(b"\0" + r for r in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0))
        + b"".join(part(*c) for c in chunks)
        + part(b"IDAT", body)
        + part(b"IEND", b"")
    )


def tiff(bits, photometric, body, sample_format=1):
    """The bytes of a grey TIFF of one strip."""
    tags = (
        (256, W),
        (257, H),
        (258, bits),
        (259, 1),
        (262, photometric),
        (273, 8 + 2 + 12 * 10 + 4),
        (277, 1),
        (278, H),
        (279, len(body)),
        (339, sample_format),
    )
    return (
        b"II*\0"
        + struct.pack("<IH", 8, len(tags))
        + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags)
        + struct.pack("<I", 0)
        + body
    )


def profile(space, gamma, order=(0, 1, 2)):
    """An ICC profile: GRAY, or RGB with sRGB's primaries in another order, its curve a power."""
    fixed = lambda *v: b"".join(struct.pack(">i", round(x * 65536)) for x in v)
    curve, point = (
        b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2),
        lambda *v: b"XYZ " + bytes(4) + fixed(*v),
    )
    primaries = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
    tags = {
        b"wtpt": point(0.9642, 1, 0.8249),
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(80),
    }
    tags |= (
        {b"kTRC": curve}
        if space == b"GRAY"
        else {
            k: v
            for c, i in zip(b"rgb", order)
            for k, v in ((bytes([c]) + b"XYZ", point(*primaries[i])), (bytes([c]) + b"TRC", curve))
        }
    )
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = (
        bytes(4)
        + b"\2\x10\0\0"
        + b"mntr"
        + space
        + b"XYZ "
        + struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
        + b"acsp"
        + bytes(28)
        + fixed(0.9642, 1, 0.8249)
    )
    return struct.pack(">I", 128 + len(table) + len(body)) + head + bytes(124 - len(head)) + table + body


def encoded(levels, gamma):
    """Levels of a power curve as those of sRGB's curve."""
    light = (np.asarray(levels) / 255.0) ** gamma
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


LOSSLESS = {
    "png": {},
    "tif": {},
    "webp": {"lossless": True, "exact": True},
    "tga": {},
    "jp2": {"irreversible": False},
    "qoi": {},
    "bmp": {},
    "ppm": {},
}
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

FLAT = Image.fromarray((np.arange(H * W) % 4).astype(np.uint8).reshape(H, W), "P")
FLAT.putpalette([10, 20, 30, 200, 100, 0, 0, 250, 9, 77, 77, 77])
COLOURS, INDEX = np.array(FLAT.getpalette()[:12]).reshape(4, 3), np.asarray(FLAT)
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

deep = three(np.rint(DEEP / 257))  # bit depths
case("16-bit png", "png", saved(DEEP), deep)
case("16-bit tif", "tif", saved(DEEP), deep)
case("16-bit tif, compressed", "tif", saved(DEEP, compression="tiff_lzw"), deep)
case("16-bit tif, large end first", "tif", saved(Image.fromarray(DEEP.astype(">u2"))), deep)
case("16-bit jp2", "jp2", saved(DEEP, irreversible=False), deep)
case(
    "16-bit pgm",
    "pgm",
    lambda path: path.write_bytes(b"P5 %d %d 65535\n" % (W, H) + DEEP.astype(">u2").tobytes()),
    deep,
)
case(
    "16-bit pgm in words",
    "pgm",
    lambda path: path.write_bytes(b"P2 %d %d 65535\n" % (W, H) + " ".join(map(str, DEEP.ravel())).encode()),
    deep,
)
case(
    "10-bit pgm",
    "pgm",
    lambda path: path.write_bytes(b"P5 %d %d 1023\n" % (W, H) + (DEEP >> 6).astype(">u2").tobytes()),
    three((DEEP >> 6) * 255.0 / 1023),
    1,
)
case(
    "4-bit pgm",
    "pgm",
    lambda path: path.write_bytes(b"P5 %d %d 15\n" % (W, H) + (DEEP >> 12).astype(np.uint8).tobytes()),
    three((DEEP >> 12) * 17),
)
case("16-bit tif, white is 0", "tif", lambda path: path.write_bytes(tiff(16, 0, DEEP.tobytes())), 255 - deep)
case(
    "8-bit tif, white is 0",
    "tif",
    lambda path: path.write_bytes(tiff(8, 0, GREY.tobytes())),
    three(255 - GREY),
)
twelve = (DEEP >> 4).ravel().astype(int)
pairs = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in twelve.reshape(-1, 2).tolist())
case(
    "12-bit tif",
    "tif",
    lambda path: path.write_bytes(tiff(12, 1, pairs)),
    three(np.rint(twelve.reshape(H, W) * 255 / 4095)),
)
share = (DEEP / 65535).astype(np.float32)
case("float tif", "tif", saved(share), three(np.rint(share * 255)))
case(
    "float tif, white is 0",
    "tif",
    lambda path: path.write_bytes(tiff(32, 0, share.tobytes(), 3)),
    three(np.rint((1 - share) * 255)),
)
case("float pfm", "pfm", saved(share), three(np.rint(share * 255)))
case(
    "16-bit RGB png",
    "png",
    lambda path: path.write_bytes(
        png(16, 2, [(np.repeat(r, 3) ^ np.tile([0, 9, 90], W)).astype(">u2").tobytes() for r in DEEP])
    ),
    three(DEEP) / 257,
    1,
)
for background in HEX:
    body = [np.stack([r, np.full(W, 65535 // 4)], -1).astype(">u2").tobytes() for r in DEEP]
    case(
        f"16-bit LA png on {background}",
        "png",
        lambda path, body=body: path.write_bytes(png(16, 4, body)),
        laid(deep, np.full((H, W), 63.75), background),
        1.5,
        background,
    )
    body = [
        np.concatenate([np.repeat(r[:, None], 3, 1), np.full((W, 1), 50_000)], 1).astype(">u2").tobytes()
        for r in DEEP
    ]
    # the high byte is read
    case(
        f"16-bit RGBA png on {background}",
        "png",
        lambda path, body=body: path.write_bytes(png(16, 6, body)),
        laid(deep, np.full((H, W), 50_000 / 257), background),
        2,
        background,
    )
for bits in (1, 2, 4):
    levels = np.arange(W)[None] * np.ones((H, 1), int) % 2**bits
    rows = [
        np.packbits(np.unpackbits(r.astype(np.uint8)[:, None], axis=1)[:, -bits:].ravel()).tobytes()
        for r in levels
    ]
    case(
        f"{bits}-bit png",
        "png",
        lambda path, bits=bits, rows=rows: path.write_bytes(png(bits, 0, rows)),
        three(levels * 255 // (2**bits - 1)),
    )
    case(
        f"{bits}-bit png of a palette",
        "png",
        lambda path, bits=bits, rows=rows: path.write_bytes(
            png(bits, 3, rows, (b"PLTE", np.tile(COLOURS.astype(np.uint8), (4, 1))[: 2**bits].tobytes()))
        ),
        COLOURS[levels % 4],
    )

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
case(
    "YCbCr tif",
    "tif",
    saved(luma, "YCbCr"),
    np.broadcast_to((120 + 1.402 * -28, 120 - 0.344136 * 12 - 0.714136 * -28, 120 + 1.772 * 12), (H, W, 3)),
    1,
)
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
        encoded(deep, 1.0),
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
def test_a_picture_is_read_as_it_is_seen_on_screen(tmp_path, name, caplog):
    one = CASES[name]
    path = tmp_path / f"picture.{one.suffix}"
    one.write(path)
    seen = pictures.whole(path, one.background)
    assert (
        seen.dtype == np.uint8
        and seen.shape == one.wanted.shape
        and np.abs(seen - one.wanted).max() <= one.within
    )
    caplog.set_level("INFO")
    small = pictures.read(path, 3, one.background)
    assert small.shape == (3, 3, 3) and (
        one.note in caplog.text and f"{path}: {one.note}"[:20] in caplog.text
        if one.note
        else not caplog.text or "laid on" in caplog.text
    )


def test_there_are_enough_cases():
    assert len(CASES) >= 200


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
    monkeypatch.setattr(pictures, "HUGE", 500_000)
    sizes, load = [], Image.Image.copy
    monkeypatch.setattr(Image.Image, "copy", lambda self: sizes.append(self.size) or load(self))
    assert np.abs(pictures.read(tmp_path / "a.jpg", 16).astype(int) - whole).max() <= 3
    assert set(sizes) == {(300, 200)}


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
            "too large to be opened safely .Image size .3600000000 pixels",
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


def write(path, array=RGB):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def test_what_a_folder_holds_is_said(tmp_path, caplog):
    for name in ("b.png", "a.JPG", "deep/er/c.gif", "d.avif", "e.jfif", "f.tga", "g.jp2"):
        write(tmp_path / name)
    for name in ("h.heic", "notes.txt", "README"):
        (tmp_path / name).write_text("no picture")
    for name in ("._b.png", ".ipynb_checkpoints/b-checkpoint.png", "__MACOSX/b.png", ".git/x.png"):
        write(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    Image.fromarray(np.dstack([RGB, ALPHA])).save(tmp_path / "clear.png")
    caplog.set_level("INFO")
    found = pictures.find(tmp_path)
    assert found.names == [
        "a.JPG",
        "b.png",
        "clear.png",
        "d.avif",
        "deep/er/c.gif",
        "e.jfif",
        "f.tga",
        "g.jp2",
    ]
    assert found.said() == {
        "hidden, or a system's own": "4: ._b.png, .git, .ipynb_checkpoints and 1 more",
        "no kind of picture that is read (.heic)": "1: h.heic",
        "no kind of picture that is read (.txt)": "1: notes.txt",
        "no kind of picture that is read (no suffix)": "1: README",
    }
    images, said = pictures.read_all(found, 4)
    assert images.shape == (8, 4, 4, 3) and said == {
        "transparent parts are laid on white (pictures.background)": "1: clear.png"
    }
    assert (
        f"pictures read from {tmp_path}: 8" in caplog.text
        and "(.heic): 1: h.heic" in caplog.text
        and "laid on white (pictures.background): 1: clear.png" in caplog.text
    )


def test_links_out_of_a_folder_are_followed_only_when_asked(tmp_path):
    root = tmp_path / "real"
    for path in (root / "a.png", root / "more" / "b.png", tmp_path / "else" / "c.png", tmp_path / "d.png"):
        write(path)
    (root / "out").symlink_to(tmp_path / "else")
    (root / "d.png").symlink_to(tmp_path / "d.png")
    (root / "in.png").symlink_to("a.png")
    (root / "again").symlink_to("more")
    (root / "gone.png").symlink_to("nowhere.png")
    (root / "round").symlink_to(tmp_path)
    found = pictures.find(root)
    assert found.names == ["a.png", "in.png", "more/b.png"]
    assert found.skipped["links out of the folder (pictures.links: true follows them)"] == [
        "d.png",
        "out",
        "round",
    ]
    assert found.skipped["links to nothing"] == ["gone.png"] and found.skipped[
        "links to folders that are read anyway"
    ] == ["again"]
    asked = pictures.find(root, links=True).names
    assert {"a.png", "d.png", "out/c.png"} <= set(asked) and len(asked) < 12  # round and round ends
    os.symlink(root, tmp_path / "real2")
    assert pictures.find(tmp_path / "real2").names == found.names


def test_a_folder_without_pictures_says_what_it_holds(tmp_path):
    with pytest.raises(ValueError, match="real: .* holds no image .it is empty."):
        pictures.find(tmp_path)
    (tmp_path / "x.heic").write_text("x")
    (tmp_path / "y.png").symlink_to(__file__)
    with pytest.raises(
        ValueError,
        match=(
            r"relearn.folder: .* holds no image .links out of the folder .*: 1: y.png; no kind of picture"
            r" that is read .\.heic.: 1: x.heic.; the kinds read are .png"
        ),
    ):
        pictures.find(tmp_path, what="relearn.folder")


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


def test_a_text_chunk_that_explodes_names_the_file(tmp_path):
    more = PngImagePlugin.PngInfo()
    more.add_text("x", "a" * 3_000_000, zip=True)
    Image.fromarray(RGB).save(tmp_path / "a.png", pnginfo=more)
    with pytest.raises(ValueError, match="a.png: the image is damaged .*Decompressed data too large"):
        pictures.read(tmp_path / "a.png", 8)

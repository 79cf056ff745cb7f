"""Picture files of any mode and depth for the tests, and what each shows on screen."""

import struct
import zlib
from types import SimpleNamespace

import numpy as np
from PIL import Image

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
FLAT = Image.fromarray((np.arange(H * W) % 4).astype(np.uint8).reshape(H, W), "P")
FLAT.putpalette([10, 20, 30, 200, 100, 0, 0, 250, 9, 77, 77, 77])
COLOURS, INDEX = np.array(FLAT.getpalette()[:12]).reshape(4, 3), np.asarray(FLAT)
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


class Cases(dict):
    """Files by the name of their case."""

    def add(self, name, suffix, write, wanted, within=0, background="white", note=""):
        """A file that `write(path)` makes, what it shows, by how many levels that may differ, and words of
        what is said of it.
        """
        assert name not in self
        self[name] = SimpleNamespace(
            suffix=suffix,
            write=write,
            wanted=np.asarray(wanted),
            within=within,
            background=background,
            note=note,
        )


def check(one, folder, caplog):
    """A case's file is read as it is seen on screen, and what is to be said of it is said."""
    path = folder / f"picture.{one.suffix}"
    one.write(path)
    seen = pictures.whole(path, one.background)
    assert seen.dtype == np.uint8 and seen.shape == one.wanted.shape
    assert np.abs(seen - one.wanted).max() <= one.within
    caplog.set_level("INFO")
    assert pictures.read(path, 3, one.background).shape == (3, 3, 3)
    if one.note:
        assert one.note in caplog.text and f"{path}: {one.note}"[:20] in caplog.text
    else:
        assert not caplog.text or "laid on" in caplog.text


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


def write(path, array=RGB):
    """A file, and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)

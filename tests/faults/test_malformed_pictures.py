"""Pictures that are none: thousands of files spoilt by chance, each read or refused in one line."""

import io

import numpy as np
import pytest
from malformed import room, told, tried  # noqa: F401  (room is a fixture)

from unpromptable import pictures

pytestmark = pytest.mark.slow

HEADS = (
    *(
        b"8BPS\0\1",
        b"SIMPLE  =                    T",
        b"/* XPM */",
        b"\x11\xaf",
        b"\x59\xa6\x6a\x95",
        b"\xf1\x00\x40\xbb",
    ),
    *(
        b"qoif",
        b"BLP1",
        b"BLP2",
        b"DDS ",
        b"FTEX",
        b"P7 332\n#",
        b"\x1c\x01",
        b"\x0a\x05\x01\x08",
        b"\x00\x00\x02\x00",
    ),
    *(
        b"\x80\xe8\x00\x00",
        b"PCD_",
        b"\xb1\x68\xde\x3a",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"\x97JB2",
        b"GIMP",
        b"\x01\xda",
    ),
    *(
        b"II*\0",
        b"MM\0*",
        b"II+\0\x08\0\0\0",
        b"MM\0+",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"\xff\xd8\xff",
        b"BM",
        b"RIFF\0\0\0\0WEBP",
    ),
    *(
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"\xff\x4f\xff\x51",
        b"\0\0\0\x20ftypavif",
        b"icns",
        b"P6\n",
        b"Pf\n-1\n",
        b"PyCMYK",
    ),
)
WAYS = [
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "RGB", "RGBA", "P", "I;16")),
    *(("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")),
    ("JPEG", "RGB", {"progressive": True}),
    *(
        ("TIFF", "RGB", {"compression": c})
        for c in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
    ),
    *(("TIFF", mode, {}) for mode in ("1", "L", "I;16", "F", "RGBA", "CMYK", "LAB", "P", "I")),
    *(("TIFF", "1", {"compression": c}) for c in ("group3", "group4")),
    *(("WEBP", "RGBA", {"lossless": lossless}) for lossless in (True, False)),
    *(("GIF", "P", {}), ("BMP", "RGB", {}), ("BMP", "P", {}), ("DIB", "RGB", {}), ("ICO", "RGBA", {})),
    *(
        ("ICNS", "RGBA", {}),
        ("TGA", "RGBA", {}),
        ("TGA", "RGB", {"compression": "tga_rle"}),
        ("PCX", "P", {}),
    ),
    *(
        ("PPM", "RGB", {}),
        ("PPM", "1", {}),
        ("PPM", "F", {}),
        ("SGI", "RGB", {}),
        ("DDS", "RGBA", {}),
        ("MSP", "1", {}),
    ),
    *(("XBM", "1", {}), ("IM", "RGB", {}), ("SPIDER", "F", {}), ("MPO", "RGB", {}), ("JPEG2000", "RGBA", {})),
    *(("AVIF", "RGB", {}), ("BLP", "P", {}), ("QOI", "RGBA", {})),
]


@pytest.fixture(scope="module")
def sound():
    """Whole pictures of every format and mode that Pillow writes here, with EXIF and colour profiles."""
    from PIL import Image, ImageCms

    noise = np.random.default_rng(0).integers(0, 256, (20, 24, 4), np.uint8)
    exif, icc = Image.Exif(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif[274], exif[270] = 6, "x"
    made = []
    for kind, mode, how in WAYS:
        base = Image.fromarray(noise)
        picture = (
            base.convert("L").convert(mode)
            if mode in ("I;16", "F", "I")
            else base.convert("RGB").convert(mode)
        )
        more = [{"exif": exif, "icc_profile": icc}, {}]
        if kind in ("GIF", "WEBP", "TIFF", "PNG", "MPO", "AVIF"):
            more.append({"save_all": True, "append_images": [picture, picture]})
        for extra in more:
            file = io.BytesIO()
            try:
                picture.save(file, kind, **how, **extra)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # that Pillow does not write
            made.append(file.getvalue())
    assert len(made) > 60
    return tuple(dict.fromkeys(made))


def big_png(width, height, kind=0, bits=8):
    """A PNG of so many pixels in a few bytes."""
    import struct
    import zlib

    part = lambda name, body: (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    )
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", body) + part(b"IEND", b"")


def picture(chance, sound):
    how = chance.randrange(10)
    if how < 6:
        return chance.spoilt_bytes(chance.choice(sound), sound)
    if how < 8:
        return chance.choice(HEADS) + chance.randbytes(chance.choice([0, 4, 40, 2000]))
    if how == 8:
        side = lambda: chance.choice([0, 1, 7, 300, 65_535, 2**31 - 1, 2**32 - 1])
        return big_png(side(), side(), chance.choice([0, 2, 3, 4, 6]), chance.choice([1, 8, 16, 0, 255]))
    other = chance.choice(sound)
    return chance.choice(sound)[: chance.choice([4, 12, 60])] + other[chance.randrange(len(other)) :]


def test_pictures_that_are_none_are_read_or_refused_in_one_line(room, sound):
    given = room / "given"
    names = ["a.png", "a.jpg", "a.tif", "a.gif", "a.webp", "a", "a.tga", "a.icns", "ä b%s{x}.png"]

    def make(chance):
        for old in given.iterdir():
            old.unlink()
        path = given / chance.choice(names)
        path.write_bytes(picture(chance, sound))
        size = chance.choice([8, 16, 16, 64, 0])

        def one():
            read = pictures.read(path, size)
            assert read.dtype == np.uint8 and read.ndim == 3 and read.shape[2] == 3
            assert not size or read.shape == (size, size, 3)

        calls = [("read", one)]
        if chance.random() < 0.1:
            calls.append(("read_folder", lambda: pictures.read_folder(given, 8)))
        return calls

    wrong = tried("pictures", room, make)
    assert not wrong, told(wrong)

"""Every bit depth against what it shows."""

import numpy as np
import pytest
from picture_files import COLOURS, DEEP, GREY, HEX, Cases, H, W, check, laid, png, saved, three, tiff
from PIL import Image

CASES = Cases()
case = CASES.add
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


@pytest.mark.parametrize("name", CASES)
def test_a_picture_of_any_depth_is_read_as_it_is_seen_on_screen(tmp_path, name, caplog):
    check(CASES[name], tmp_path, caplog)

"""Painting over a region: from the command line, and the checks of what a person painted."""

import numpy as np
import pytest
from PIL import Image

from pipelines.__main__ import main
from unpromptable.editing import painting
from unpromptable.editing.engine import EditContext
from unpromptable.miniature import portraits
from unpromptable.planning import plugins
from unpromptable.planning.experiment import Experiment


def run(capsys, *words):
    code = main(["paint", *words])
    return code, capsys.readouterr()


def test_a_portrait_is_painted_over_in_a_colour_and_the_editor_takes_it(capsys, tmp_path):
    code, said = run(
        capsys,
        "0012-3",
        "--out",
        str(tmp_path),
        "--box",
        "4,0,28,10",
        "--box",
        "0,28,32,32",
        "--fill",
        "#c08a5e",
    )
    target, painted = portraits.picture(12, 3), np.asarray(Image.open(tmp_path / "0012-3.png"))
    assert code == 0 and "of 32 x 32 pixels changed" in said.out and "editor.folder=" in said.out
    assert (painted[:10, 4:28] == (0xC0, 0x8A, 0x5E)).all() and (painted[28:] == (0xC0, 0x8A, 0x5E)).all()
    np.testing.assert_array_equal(painted[10:28], target[10:28])
    scene = EditContext(
        ("0012-3",),
        target[None],
        target[None],
        tmp_path,
        Experiment("painted", "miniature", "miniature", ("0012-3",)),
        0,
    )
    np.testing.assert_array_equal(
        plugins.make("editor", "paint", {"folder": str(tmp_path)}).edit(scene)[0], painted
    )


def test_inpainting_continues_the_surroundings():
    slope = np.broadcast_to(np.linspace(0, 248, 32)[None, :, None], (32, 32, 3)).astype(np.uint8)
    spoilt, mask = slope.copy(), painting.boxes_mask([(10, 10, 18, 18)], 32)
    spoilt[mask] = 255
    assert np.abs(painting.fill(spoilt, mask, "inpaint").astype(int) - slope).max() <= 2


def test_a_mask_file_paints_where_it_is_light_or_opaque(capsys, tmp_path):
    light = np.zeros((32, 32), np.uint8)
    light[:8] = 255
    Image.fromarray(light).save(tmp_path / "mask.png")
    layer = np.zeros((32, 32, 4), np.uint8)
    layer[:8, :, 3] = 255
    Image.fromarray(layer).save(tmp_path / "layer.png")
    for name in ("mask.png", "layer.png"):
        np.testing.assert_array_equal(painting.read_mask(tmp_path / name, 32), light > 0)
    assert run(capsys, "0012-3", "--out", str(tmp_path / "out"), "--mask", str(tmp_path / "mask.png"))[0] == 0


def test_a_file_keeps_its_size_or_takes_the_one_given(capsys, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(
        tmp_path / "me.jpg"
    )
    for size, side in (("0", 40), ("16", 16)):
        assert (
            run(
                capsys,
                str(tmp_path / "me.jpg"),
                "--out",
                str(tmp_path / "out"),
                "--size",
                size,
                "--box",
                "0,0,9,9",
                "--fill",
                "#000000",
            )[0]
            == 0
        )
        assert Image.open(next((tmp_path / "out").rglob("me.jpg.png"))).size == (side, side)
    assert (
        run(
            capsys,
            "me.jpg",
            "--real",
            str(tmp_path),
            "--out",
            str(tmp_path / "out"),
            "--box",
            "0,0,9,9",
            "--fill",
            "#000000",
        )[0]
        == 0
    )


@pytest.mark.parametrize(
    "words, message",
    [
        (["0012-3", "--box", "4,0,40,10"], "--box 4,0,40,10: must satisfy 0 <= x0 < x1 <= 32"),
        (["0012-3", "--box", "4,5,4,10"], "--box 4,5,4,10: must satisfy"),
        (["0012-3", "--box", "4,5"], "--box 4,5: give four numbers"),
        (["0012-3", "--box", "0,0,32,32"], "the mask covers the whole picture"),
        (
            ["0012-3", "--box", "1,1,9,9", "--fill", "blurple"],
            "--fill: 'blurple' is no colour; give a name such as white, or #rrggbb",
        ),
        (
            ["9999-9", "--box", "1,1,9,9"],
            "9999-9: neither a file nor a picture of miniature (such as 0000-0)",
        ),
        (
            ["0012-3", "--size", "-3", "--box", "1,1,9,9"],
            "--size -3: give the pixels a side",
        ),
        (["1.png", "--real", "nowhere", "--box", "1,1,9,9"], "nowhere/1.png: no such image"),
        (["0012-3", "--world", "mars", "--box", "1,1,9,9"], "world: no 'mars'"),
        (["0012-3", "--mask", "nowhere.png"], "--mask nowhere.png: no such file"),
        (["0012-3", "--mask", "dark.png"], "the mask covers nothing"),
        (["0012-3", "--mask", "light.png"], "the mask covers the whole picture"),
        (["0012-3", "--mask", "small.png"], "--mask small.png: 8 x 8 pixels, but the picture has 32 x 32"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    for name, value, size in (("dark", 0, 32), ("light", 255, 32), ("small", 255, 8)):
        Image.new("L", (size, size), value).save(f"{name}.png")
    code, said = run(capsys, *words)
    assert code == 2 and said.err.startswith("error: ") and message in said.err and said.err.count("\n") == 1
    assert not (tmp_path / "painted").exists()


def animated(path, picture):
    picture.save(
        path, save_all=True, append_images=[picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)], duration=100
    )


def transparent(path, picture):
    picture = picture.convert("RGBA")
    picture.putpixel((0, 0), (0, 0, 0, 0))
    picture.save(path)


@pytest.mark.parametrize(
    "write, words",
    [
        (lambda path, p: p.save(path), "equals the target .0.00% of its pixels changed."),
        (
            lambda path, p: p.point(lambda v: 255 - v).save(path),
            "of the pixels differ from 0012-3, so this is another picture",
        ),
        (lambda path, p: p.resize((32, 40)).save(path), "32 x 40 pixels, but a painted image must be square"),
        (lambda path, p: p.resize((16, 16)).save(path), "16 x 16 pixels, smaller than its target's 32"),
        (lambda path, p: p.convert("I;16").save(path), "mode I.* .not 8 bits a channel."),
        (lambda path, p: p.convert("CMYK").save(path, "TIFF"), "mode CMYK .CMYK is for print."),
        (animated, "an animation of 2 pictures"),
        (transparent, "parts are transparent .mode RGBA."),
        (lambda path, p: path.write_bytes(b"no picture"), "not an image that can be read"),
    ],
)
def test_a_painted_picture_that_cannot_be_one_is_refused(tmp_path, write, words):
    original = portraits.picture(12, 3)
    write(tmp_path / "0012-3.png", Image.fromarray(original))
    with pytest.raises(ValueError, match=words):
        painting.read_painted(tmp_path / "0012-3.png", "0012-3", original)

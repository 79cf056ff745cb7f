"""A brush on a page: what is shown to the hand, and what its strokes come to at the target's own pixels."""

import numpy as np
import pytest

from unpromptable.editing import brush

RED = (200, 10, 20, 255)


def target(side):
    return np.random.default_rng(5).integers(0, 256, (side, side, 3), dtype=np.uint8)


def stroke(side, *parts, colour=RED):
    """A layer with these squares x0, y0, x1, y1 painted."""
    layer = np.zeros((side, side, 4), np.uint8)
    for x0, y0, x1, y1 in parts:
        layer[y0:y1, x0:x1] = colour
    return layer


def test_a_small_picture_is_shown_by_whole_pixels_and_a_large_one_smaller():
    image = target(32)
    shown = brush.enlarged(image)
    assert (
        shown.shape == (448, 448, 3)
        and (shown[::14, ::14] == image).all()
        and (shown[13::14] == shown[::14]).all()
    )
    assert brush.enlarged(target(600)).shape == (600, 600, 3)
    assert brush.enlarged(target(1792)).shape == (896, 896, 3)


def test_only_what_was_painted_over_changes_and_takes_the_brushs_colour():
    image = target(32)
    painted = brush.laid(image, [stroke(448, (140, 0, 280, 140))])
    assert (painted[:10, 10:20] == RED[:3]).all()
    kept = np.ones((32, 32), bool)
    kept[:10, 10:20] = False
    assert (painted[kept] == image[kept]).all()


def test_a_stroke_that_covers_half_a_pixel_mixes_its_colour_by_half():
    image = np.zeros((32, 32, 3), np.uint8)
    painted = brush.laid(image, [stroke(448, (0, 0, 7, 448))])
    assert np.abs(painted[:, 0].astype(int) - [100, 5, 10]).max() <= 1 and not painted[:, 1:].any()


def test_later_strokes_lie_over_earlier_ones():
    layers = [stroke(448, (0, 0, 224, 224)), stroke(448, (0, 0, 112, 112), colour=(0, 0, 255, 255))]
    painted = brush.laid(target(32), layers)
    assert (painted[:8, :8] == (0, 0, 255)).all() and (painted[8:16, :16] == RED[:3]).all()


def test_clear_layers_are_no_paint():
    assert brush.laid(target(32), []) is None
    assert brush.laid(target(32), [stroke(448)]) is None


@pytest.mark.parametrize(
    "part, said", [((0, 0, 3, 3), "equals the target"), ((0, 0, 448, 448), "another picture")]
)
def test_too_little_paint_and_paint_over_everything_are_refused(part, said):
    with pytest.raises(ValueError, match=said):
        brush.laid(np.zeros((32, 32, 3), np.uint8), [stroke(448, part)])

"""Portraits and flags are drawn as large as the model that they are shown to."""

from types import SimpleNamespace

import numpy as np
import pytest

from unpromptable.editing import painting
from unpromptable.editing.editors.paint import Editor
from unpromptable.miniature import flags, portraits
from unpromptable.preparing import collect
from unpromptable.scoring import metric_networks


@pytest.mark.parametrize(
    "draw", [lambda size: portraits.picture(12, 3, size), lambda size: flags.picture("japan", 5, size)]
)
def test_a_larger_picture_shows_the_same(draw):
    small, large = draw(32), draw(64)
    halved = large.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert large.shape == (64, 64, 3) and np.abs(halved - small).mean() < 4
    describe = metric_networks.load("miniature").descriptor
    assert float(describe(small[None])[0] @ describe(large[None])[0]) > 0.98


@pytest.mark.parametrize(
    "source, target", [("miniature", "0012-3"), ("miniature", "0504-3"), ("flags/japan", "japan-0005")]
)
def test_real_and_forget_images_have_the_models_size(source, target):
    arrays, manifest = collect.collect(source, 16, [target])
    assert arrays["real"].shape[1:] == arrays["forget"].shape[1:] == (16, 16, 3)
    assert len(manifest["names"]) == len(arrays["real"])


@pytest.mark.parametrize(
    "folder, target, real", [("miniature", "0012-3", "miniature"), ("flags", "japan-0005", "flags/japan")]
)
def test_the_painted_one_has_its_targets_size(folder, target, real):
    original = painting.open_target(target, real, 64)
    (painted,) = Editor(folder).edit(SimpleNamespace(targets=(target,), forget=original[None], among=()))
    assert painted.shape == (64, 64, 3) and 0.002 < painting.changed(painted, original) < 0.98


@pytest.mark.parametrize("real, target", [("miniature", "0012-3"), ("", "me.png")])
def test_a_negative_size_is_refused(real, target):
    with pytest.raises(ValueError, match="--size -1: give the pixels a side"):
        painting.open_target(target, real, -1)

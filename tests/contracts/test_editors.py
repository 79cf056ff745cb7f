"""Every editor gives pictures of the targets' shape, the same again, and says what it reads and costs."""

import numpy as np
import pytest

from unpromptable.planning import plugins

from . import small


def made(name, **settings):
    return plugins.make("editor", name, {**plugins.find("editor", name).small, **settings})


@pytest.fixture(scope="module")
def edits():
    """Each editor's surrogates of the scene, made once."""
    found = {}

    def of(name):
        if name not in found:
            found[name] = made(name).edit(small.scene())
        return found[name]

    return of


@small.choices("editor")
def test_surrogates_have_the_targets_shape_and_are_not_the_targets(name, edits):
    forget = small.scene().forget
    assert edits(name).shape == forget.shape and edits(name).dtype == np.uint8
    assert not any(np.array_equal(s, f) for s, f in zip(edits(name), forget))


@small.choices("editor")
def test_the_same_scene_gives_the_same_surrogates_and_stays_as_it_was(name, edits):
    scene = small.scene()
    np.testing.assert_array_equal(made(name).edit(scene), edits(name))
    np.testing.assert_array_equal(scene.forget, small.scene().forget)
    np.testing.assert_array_equal(scene.remember, small.scene().remember)


TOGETHER = [n for n in plugins.names("editor") if plugins.find("editor", n).together]


@pytest.mark.parametrize("name", TOGETHER)
def test_many_values_at_once_are_what_each_alone_gives(name, edits):
    editor = made(name)
    assert editor.together in small.settings_of("editor", name)
    (once,) = editor.edit_many(small.scene(), [getattr(editor, editor.together)])
    np.testing.assert_array_equal(once, edits(name))


@small.choices("editor")
def test_it_runs_the_base_model_as_often_as_it_says(name, monkeypatch):
    model, calls = plugins.find("model", "ddpm").model, []
    predict = model.predict
    monkeypatch.setattr(model, "predict", lambda self, x, t: (calls.append(len(x)), predict(self, x, t))[1])
    scene = small.scene()
    made(name).edit(scene)
    assert sum(calls) == made(name).base_calls(1000) * len(scene.targets)


@small.choices("editor")
def test_the_files_that_it_reads_are_there(name):
    editor = made(name)
    assert all(f.is_file() for f in editor.files(small.TARGETS, small.TARGETS))
    assert editor.flop >= 0 and isinstance(editor.redraws, bool)

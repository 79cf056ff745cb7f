"""What a plan's keys depend on of the files that it names: on what they hold, and each key on its own files
alone.
"""

import os

import numpy as np
import pytest
from PIL import Image

from unpromptable.editing import painting
from unpromptable.planning import plan

TEXT = """
name: t
real: {real}
model: {{source: miniature}}
networks: miniature
forget: [{real}/me.png]
cells:
- {{name: Painted, editor: {{name: paint, folder: {painted}}}}}
- {{name: Flipped, editor: flip}}
"""


def rewrite(path, level):
    """Another picture of the same size in bytes and with the same time."""
    before = path.stat() if path.exists() else None
    Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(path, "BMP")
    if before:
        assert path.stat().st_size == before.st_size
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def here(tmp_path):
    for name in ("real", "painted"):
        (tmp_path / name).mkdir()
    for i, name in enumerate(("a.bmp", "b.bmp")):
        rewrite(tmp_path / "real" / name, 10 * i)
    rewrite(tmp_path / "real" / "me.png", 99)
    rewrite(tmp_path / "painted" / "me.png", 150)
    return tmp_path


def keys(here):
    resolved = plan.resolve(TEXT.format(real=here / "real", painted=here / "painted"))
    return (
        resolved.key,
        [s.keys["unlearned"] for s in resolved.run().cells],
        [s.keys["surrogates"] for s in resolved.run().cells],
    )


def test_a_surrogate_repainted_in_place_redoes_its_cell_and_nothing_else(here):
    shared, cells, surrogates = keys(here)
    rewrite(here / "painted" / "me.png", 151)
    again = keys(here)
    assert again[0] == shared and again[1][1:] == cells[1:] and again[2][1:] == surrogates[1:]
    assert again[1][0] != cells[0] and again[2][0] != surrogates[0]


@pytest.mark.parametrize("name", ["me.png", "a.bmp"])
def test_a_picture_replaced_by_another_of_its_size_and_time_redoes_everything(here, name):
    before = keys(here)
    rewrite(here / "real" / name, 200)
    assert keys(here)[0] != before[0]


def test_a_new_time_alone_redoes_nothing(here):
    before = keys(here)
    for path in (here / "real" / "me.png", here / "real" / "a.bmp", here / "painted" / "me.png"):
        os.utime(path)
    assert keys(here) == before


def test_a_painted_file_that_is_missing_is_told_by_the_plan(here):
    (here / "painted" / "me.png").unlink()
    with pytest.raises(
        FileNotFoundError,
        match="editor.folder: (.*) holds no painted picture of .*me.png; paint .*/painted/me.png, by",
    ):
        keys(here)


@pytest.mark.parametrize("targets", [("a/1.png", "b/1.png"), ("me.jpg", "me.png", "me.webp")])
def test_two_targets_never_share_a_painted_file(tmp_path, targets):
    """A bare name serves where one target alone can mean it; otherwise each has its own, and the refusal
    names them.
    """
    bare = tmp_path / ("1.png" if "/" in targets[0] else "me.png")
    bare.write_bytes(b"x")
    alone = painting.find(tmp_path, targets[:1], targets[:1])
    assert alone == [bare]
    wanted = [t for t in targets if painting.places(t)[0] != bare.name]  # me.png is surely me.png's own
    for target in wanted:
        with pytest.raises((ValueError, FileNotFoundError), match="editor.folder"):
            painting.find(tmp_path, [target], targets)
    for target in targets:
        path = tmp_path / painting.places(target)[0]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    found = painting.find(tmp_path, targets, targets)
    assert len(set(found)) == len(targets) and found == [tmp_path / painting.places(t)[0] for t in targets]


def test_what_ships_is_named_as_the_package_has_it_wherever_that_lies(tmp_path, monkeypatch):
    import shutil

    from unpromptable.planning import inputs
    from unpromptable.planning.inputs import SHIPPED

    elsewhere = tmp_path / "site-packages" / "unpromptable"
    shutil.copytree(SHIPPED, elsewhere / "miniature")
    file = next(p for p in sorted(SHIPPED.rglob("*.safetensors")))
    here = inputs.stamp(file)
    monkeypatch.setattr(inputs, "PACKAGE", elsewhere)
    assert inputs.stamp(elsewhere / "miniature" / file.relative_to(SHIPPED)) == here


def test_what_was_forgotten_before_counts_by_what_it_holds_and_has_to_be_there_and_read(here):
    for name, held in (("a", b"one"), ("b", b"one"), ("c", b"other")):
        (here / name).write_bytes(held)
    text = TEXT.format(real=here / "real", painted=here / "painted")

    def key(name, revisit=0.5):
        sets = {"training.held": str(here / name), "training.revisit": revisit}
        return plan.resolve(text, "miniature", sets).run().cells[0].keys["unlearned"]

    assert key("a") == key("b") != key("c")
    with pytest.raises(FileNotFoundError, match="training.held: .*nothing is no file"):
        key("nothing")
    with pytest.raises(ValueError, match="no batch goes back to it while training.revisit is 0"):
        key("a", 0)


def test_one_picture_to_keep_is_refused_at_once(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "painted").mkdir()
    rewrite(tmp_path / "real" / "me.png", 99)
    with pytest.raises(ValueError, match="real: .*real holds one picture; the Fréchet distance to it takes"):
        plan.resolve(TEXT.format(real=tmp_path / "real", painted=tmp_path / "painted"))


def test_a_model_that_is_no_folder_and_no_name_on_the_hub_is_refused_at_once(here):
    text = TEXT.format(real=here / "real", painted=here / "painted")
    for source in ("nope", str(here / "gone"), str(here / "real" / "a.bmp")):
        with pytest.raises(FileNotFoundError, match=f"model.source: {source} is no folder here, and no name"):
            plan.resolve(text, "miniature", {"model.source": source})


def test_fewer_images_than_an_interval_takes_are_refused_at_once():
    with pytest.raises(ValueError, match="sampling.images is 3; the Fréchet distances and their intervals"):
        plan.resolve("demo", "miniature", {"sampling.images": 3, "sampling.shards": 1})

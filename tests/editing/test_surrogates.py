"""Surrogates are built once for the cells that share them, several settings in one go, and their quality is
told.
"""

import json
import sys
import threading
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest

from unpromptable import data, protocols
from unpromptable.editing import engine, surrogates
from unpromptable.execution import unlearn_step
from unpromptable.planning import plan, plugins

TEXT = """
name: t
base: {editor: {name: fake}}
sweep: {editor.weight: [1, 2, 4], forget: [[0012-3], [0013-1]]}
cells: [{name: A}, {name: B, training: {lr: 0.5}}]
"""
CALLS = []


@dataclass(frozen=True)
class Editor(protocols.Editor):
    """Adds its weight to every pixel."""

    weight: float = 2.0
    offset: int = 0
    together: ClassVar[str] = "weight"

    def edit(self, scene):
        return self.edit_many(scene, [self.weight])[0]

    def edit_many(self, scene, values):
        CALLS.append((scene.targets, list(values)))
        scene.progress(1, 2, "half")
        return [(scene.forget // 2 + int(v) + self.offset).astype(np.uint8) for v in values]


@pytest.fixture
def fake(monkeypatch):
    """An editor `fake` beside those that ship."""
    CALLS.clear()
    monkeypatch.setitem(
        sys.modules, "unpromptable.editing.editors.fake", ModuleType("unpromptable.editing.editors.fake")
    )
    sys.modules["unpromptable.editing.editors.fake"].Editor = Editor
    names = plugins.names
    monkeypatch.setattr(
        plugins, "names", lambda kind: sorted([*names(kind), *(["fake"] if kind == "editor" else [])])
    )


@pytest.fixture
def specs(fake, tmp_path):
    run = plan.resolve(TEXT).run()
    found = run.cells
    (tmp_path / "experiment.json").write_text(run.to_text())
    (tmp_path / "shared" / "pretrained").mkdir(parents=True)
    from unpromptable.miniature import portraits

    pictures = np.stack([portraits.picture(n, 0) for n in range(12)])
    data.save(
        tmp_path / "shared" / "data.safetensors",
        {"real": pictures, "forget": pictures[:2]},
        {"forget_names": ["0012-3", "0013-1"], "names": [str(i) for i in range(12)], "removed": ["0", "1"]},
    )
    return found


def edit(spec, root):
    unlearn_step.edit(spec, str(root))
    return data.load(root / spec.folder / "surrogates.safetensors")


def test_all_values_of_a_setting_are_built_in_one_call_per_target_and_never_again(specs, tmp_path):
    arrays = [edit(s, tmp_path) for s in specs]
    assert CALLS == [(("0012-3",), [1, 2, 4]), (("0013-1",), [1, 2, 4])]
    originals = data.load(tmp_path / "shared" / "data.safetensors")[0]["forget"]
    for spec, (made, manifest) in zip(specs, arrays):
        target = originals[0 if spec.targets == ("0012-3",) else 1]
        np.testing.assert_array_equal(
            made["images"][0], target // 2 + int(spec.cell.editor.settings["weight"])
        )
        assert (
            manifest["targets"] == list(spec.targets)
            and manifest["editor"] == spec.to_json()["cell"]["editor"]
        )
    assert len(list((tmp_path / "shared").glob("surrogates-*.safetensors"))) == 6


def test_cells_with_the_same_surrogate_share_one_file(specs, tmp_path):
    pair = [s for s in specs if s.targets == ("0012-3",) and s.cell.editor.settings["weight"] == 2]
    assert (
        len(pair) == 2
        and pair[0].keys["surrogates"] == pair[1].keys["surrogates"]
        and pair[0].keys["unlearned"] != pair[1].keys["unlearned"]
    )
    for spec in pair:
        edit(spec, tmp_path)
    assert len({(tmp_path / s.folder / "surrogates.safetensors").stat().st_ino for s in pair}) == 1


def test_two_cells_at_once_build_once(specs, tmp_path):
    threads = [threading.Thread(target=edit, args=(s, tmp_path)) for s in specs[::2]]
    [t.start() for t in threads], [t.join() for t in threads]
    assert len(CALLS) == 1


def test_a_lost_value_alone_is_built_again(specs, tmp_path):
    edit(specs[0], tmp_path)
    for path in [tmp_path / specs[2].folder, surrogates._path(str(tmp_path), specs[2])]:
        path.unlink(missing_ok=True) if path.is_file() else None
    edit(specs[2], tmp_path)
    assert CALLS[1:] == [(("0012-3",), [specs[2].cell.editor.settings["weight"]])]


def test_a_default_written_out_is_the_same_surrogate_and_another_seed_is_not(fake):
    base = (
        "name: t\nforget: [0012-3]\ncells:\n- {name: A, editor: fake}\n- {name: B, editor: {name: fake,"
        " weight: 2.0}}\n- {name: C, editor: fake, training: {seed: 1}}\n"
    )
    a, b, c = (s.keys["surrogates"] for s in plan.resolve(base).run().cells)
    assert a == b != c


def test_an_editor_reports_progress_as_the_steps_bar(specs, tmp_path):
    edit(specs[0], tmp_path)
    events = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert [(e["done"], e["total"], e["text"]) for e in events if e["kind"] == "progress"] == [(1, 2, "half")]


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda forget, values: [forget[:, :4] for _ in values], "3 answers, uint8 (1, 4, 32, 3)"),
        (lambda forget, values: [forget / 2.0 for _ in values], "3 answers, float64 (1, 32, 32, 3)"),
        (lambda forget, values: [list(forget) for _ in values], "3 answers, a list, a list, a list for"),
        (lambda forget, values: [None for _ in values], "3 answers, a NoneType"),
        (lambda forget, values: None, "1 answers, a NoneType for 3 settings"),
    ],
)
def test_an_answer_that_is_no_picture_of_each_target_is_refused_and_written_down(
    answer, words, specs, tmp_path, monkeypatch
):
    monkeypatch.setattr(Editor, "edit_many", lambda self, scene, values: answer(scene.forget, values))
    unlearn_step.edit(specs[0], str(tmp_path))
    told = json.loads((tmp_path / specs[0].folder / "failed.json").read_text())
    assert f"editor fake: gave {words}" in told["error"] and not told["again"]


@pytest.fixture
def judge():
    from unpromptable.miniature import portraits

    experiment = plan.resolve("name: t\nforget: [0012-3]\ncells: [{editor: flip}]\n").experiment
    target, remember = (
        portraits.picture(12, 3)[None],
        np.stack([portraits.picture(n, 0) for n in range(20, 90)]),
    )
    return engine.SurrogateCheck(experiment, target, remember), target, remember


def test_a_near_copy_and_a_random_image_are_told_from_an_edit(judge, caplog):
    from unpromptable.miniature import portraits

    who, target, remember = judge
    painted = portraits.draw(portraits.repaint(portraits.identity(12), 12), portraits.nuisance(12, 3))[None]
    copy = target.copy()
    copy[:, :2, :2] += 30
    found = [who.distances(("x",), i)[0] for i in (copy, painted)]
    assert [f["verdict"] for f in found] == ["copy", "fine"]
    assert (
        found[0]["changed"] == pytest.approx(4 / 1024)
        and found[0]["note"] in caplog.text
        and "little to forget towards" in found[0]["note"]
    )
    random = [who.distances(("x",), i[None])[0] for i in remember]
    assert (
        np.mean([f["verdict"] == "unrelated" for f in random]) > 0.7
        and "no closer to the target than a random image" in caplog.text
    )
    rms = np.sqrt(np.square(painted.astype(float) - target).mean())
    assert found[1]["rms"] == pytest.approx(rms) and found[1]["note"] == ""


def test_the_dagger_rows_surrogate_is_called_what_it_is(judge, caplog):
    who, _, remember = judge
    found = who.distances(("x",), remember[:1], redraws=True)[0]
    assert (
        found["verdict"] == "redrawn" and "drawn anew at every update" in found["note"] and not caplog.records
    )

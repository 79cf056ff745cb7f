"""What a purge is made of: which files may hold pictures, names, databases, and arrays without a target."""

import contextlib
import json
import sqlite3

import numpy as np
import pytest
from secret_pictures import ALICE, BOB, TEXT

from unpromptable.execution.purging import cut, found, naming
from unpromptable.planning import plan
from unpromptable.storage import databases


@pytest.mark.parametrize(
    "name, holds",
    [
        ("shared/data.safetensors", True),
        ("shared/.data.safetensors.done", True),
        ("shared/before.safetensors.part-12ab.safetensors", True),
        ("shared/before.safetensors.tmp-1-2", True),
        ("shared/features-real-1.safetensors", True),
        ("cells/a-1/page.html", True),
        ("figures/prompted.png", True),
        ("kfp/x/score/metrics.json", True),
        ("mlartifacts/1/artifacts/report.html", True),
        ("shared/pretrained/unet/model.safetensors", False),
        ("cells/a-1/unlearned/adapter.safetensors", False),
        ("cells/a-1/.unlearned.done", False),
        ("cells/a-1/training/resume.safetensors", False),
        ("mlartifacts/1/artifacts/unlearned/x.safetensors", False),
        ("figures/curves.png", False),
        ("rows.json", False),
        ("mlflow.db", False),
    ],
)
def test_what_may_hold_pictures_is_told_by_its_place(name, holds):
    assert found.holds_pictures(name) == holds


def test_the_state_of_a_stopped_training_holds_weights_and_no_pictures(tiny, images, tmp_path, pictures):
    from unpromptable.planning.experiment import Cell
    from unpromptable.planning.settings import Choice, Training
    from unpromptable.unlearning import training

    how = Training(steps=3, batch=4, save_every=1)
    cell = Cell("Ours", Choice("surrogate"), Choice("flip"), how, ("a", "b"))

    def stopped(done, total, text):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.unlearn(cell, tiny, images, tmp_path, stopped)
    content = (tmp_path / "resume.safetensors").read_bytes()
    shown = [*images.forget, *images.surrogates]
    assert not any(p.tobytes()[:64] in content for p in shown)
    floats = [(p[:1].astype(np.float32) / 127.5 - 1).tobytes()[:64] for p in shown]
    assert not any(f in content for f in floats)


@pytest.mark.parametrize(
    "name, text, left",
    [
        ("a", '{"target": "a", "note": "a near copy"}', "a near copy"),
        ("0012-3", "forget 0012-3, 0012-31 and 10012-3", "0012-31 and 10012-3"),
        ("b/é_x.png", json.dumps("b/é_x.png"), ""),
        ("b/é_x.png", "in /home/u/b/é_x.png", "/home/u/"),
    ],
)
def test_a_name_is_replaced_as_a_word_of_its_own(name, text, left):
    after = naming.Renaming((name,)).text(text)
    assert naming.digest(name) in after and left in after
    assert naming.digest(naming.digest(name)) == naming.digest(name)


def test_a_database_keeps_nothing_of_a_text_that_was_rewritten(tmp_path):
    path = tmp_path / "some.db"
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE t (a TEXT, b INTEGER)")
        file.executemany("INSERT INTO t VALUES (?, ?)", [(f"alice {k}", k) for k in range(500)])
    databases.rewrite(path, lambda text: text.replace("alice", "nobody"))
    assert b"alice" not in path.read_bytes()
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT a FROM t WHERE b = 7").fetchall() == [("nobody 7",)]


def test_outputs_that_a_base_model_drew_go_whole_since_no_target_of_theirs_is_noted(secrets):
    run = plan.resolve(TEXT, inputs=False).run()
    arrays = {
        "real": secrets.real,
        "forget": np.stack([secrets.forget[t] for t in (ALICE, BOB)]),
        "screened": secrets.seeds[:2],
    }
    told = {"names": ["c", "d", "e"], "removed": [], "forget_names": [ALICE, BOB], "screened_seeds": [1, 2]}
    kept, manifest = cut.without(arrays, told, (BOB,), run)
    assert len(kept["screened"]) == 0 and manifest["screened_seeds"] == []
    assert (kept["forget"] == secrets.forget[ALICE][None]).all() and len(kept["real"]) == 3


def test_other_pictures_of_the_person_that_were_left_out_go_with_the_target(secrets):
    text = TEXT.replace("report:", "remember: {leave_out: ['{group}-*']}\nreport:").replace(ALICE, "al-1")
    run = plan.resolve(text, inputs=False).run()
    forget = np.stack([secrets.forget[t] for t in (ALICE, BOB)])
    told = {"names": ["al-2", "d", "e"], "removed": ["al-2"], "forget_names": ["al-1", BOB]}
    kept, manifest = cut.without({"real": secrets.real, "forget": forget}, told, ("al-1",), run)
    assert manifest["names"] == ["d", "e"] and (kept["real"] == secrets.real[1:]).all()

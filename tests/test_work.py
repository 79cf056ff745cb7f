"""Steps skip what is finished, pass by what failed, and the run still ends with a row for every cell."""
import errno
import json

import pytest

from unpromptable import once, plan, reporting, rows, store, work

TEXT = "name: t\nforget: ['0012-3']\ncells:\n- {name: Ours, editor: flip}\n- {name: Other, editor: flip, training: {steps: 2}}\n"


@pytest.fixture
def specs(tmp_path):
    resolved = plan.resolve(TEXT)
    found = resolved.cell_specs()
    (tmp_path / "experiment.json").write_text(json.dumps({"cells": found, "key": resolved.key}))
    return found


def make(calls, where, spec, content="x"):
    def build(path, bar):
        calls.append(path.name)
        path.write_text(content)

    once.guarded(json.dumps(spec), str(where), "step", "out.txt", "", build)


def test_a_finished_output_is_not_made_again_and_a_removed_one_is(specs, tmp_path):
    calls = []
    make(calls, tmp_path, specs[0]), make(calls, tmp_path, specs[0])
    assert len(calls) == 1
    store.place(str(tmp_path), specs[0], "out.txt").unlink()
    make(calls, tmp_path, specs[0])
    assert len(calls) == 2


def test_an_output_of_other_inputs_is_not_taken_for_this_one(specs, tmp_path):
    calls = []
    make(calls, tmp_path, specs[0]), make(calls, tmp_path, {**specs[0], "key": "another"})
    assert len(calls) == 2


def test_a_failed_step_leaves_a_row_that_says_so_and_the_others_go_on(specs, tmp_path):
    def fails(path, bar):
        raise ValueError("Ours: remember is nan at update 7")

    once.guarded(json.dumps(specs[0]), str(tmp_path), "unlearn", "out.txt", str(tmp_path / "handed"), fails)
    later = []
    make(later, tmp_path, specs[0]), make(later, tmp_path, specs[1])
    assert len(later) == 1 and (tmp_path / "handed").read_text() == ""
    first, second = rows.collect(str(tmp_path))
    assert first["status"] == "failed" and first["error"] == "unlearn: Ours: remember is nan at update 7" and first["sscd"] is None
    with pytest.raises(RuntimeError, match="cell Ours: unlearn: Ours: remember is nan at update 7"):
        reporting.check(str(tmp_path))


def test_a_full_disk_is_named_and_leaves_no_half_output(specs, tmp_path):
    def fills(path, bar):
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    once.guarded(json.dumps(specs[0]), str(tmp_path), "sample", "out.txt", "", fills)
    assert "the disk is full" in rows.collect(str(tmp_path))[0]["error"]
    assert not store.place(str(tmp_path), specs[0], "out.txt").exists()


def test_gather_refuses_a_missing_seed(specs, tmp_path, pictures):
    from unpromptable import data

    spec = {**json.loads(plan.resolve(TEXT, "", {"sampling.images": 20}).shared_spec())}
    data.save(tmp_path / "a", {"samples": pictures[:9]}, {"seeds": list(range(9)), "seconds": 1})
    data.save(tmp_path / "b", {"samples": pictures[10:]}, {"seeds": list(range(10, 20)), "seconds": 1})
    with pytest.raises(ValueError, match="before.*: seed 9 is missing"):
        work.gather(json.dumps(spec), str(tmp_path), [str(tmp_path / "b"), str(tmp_path / "a")], "")


def test_shards_cover_every_image_once(specs):
    text = plan.resolve(TEXT, "", {"sampling.images": 10, "sampling.shards": 3}).shared_spec()
    pieces = [json.loads(p) for p in work.split(text)]
    assert [(p["first"], p["count"]) for p in pieces] == [(0, 3), (3, 3), (6, 4)] and [p["shard"] for p in pieces] == [0, 1, 2] and {p["shards"] for p in pieces} == {3}


def test_shards_share_the_targets_of_the_injection_test(tmp_path):
    from unpromptable import data

    text = "name: t\nforget: ['0012-3', '0013-3', '0014-3']\nsampling: {images: 2, steps: 2, shards: 2}\ninjection: {t: 2, draws: 1}\ncells: [{name: Ours, editor: flip}]\n"
    shared, paths = json.loads(work.prepare(text, "", "{}", str(tmp_path), str(tmp_path / "data"), str(tmp_path / "model"))), []
    for shard in work.split(json.dumps(shared)):
        paths.append(str(tmp_path / f"out-{len(paths)}"))
        work.sample(json.dumps(shared), shard, str(tmp_path), str(tmp_path / "data"), str(tmp_path / "model"), paths[-1])
    work.gather(json.dumps(shared), str(tmp_path), paths, str(tmp_path / "before"))
    injected = lambda path: {k for k in data.load(path)[0] if k.startswith("injected/")}
    assert [len(injected(p)) for p in paths] == [2, 1] and injected(tmp_path / "before") == {f"injected/{t}" for t in shared["targets"]}


def test_the_cells_that_take_longest_are_planned_first(tmp_path):
    planned = [json.loads(s)["name"] for s in work.plan("table1_multiple", "miniature", "{}", str(tmp_path))]
    assert planned[:2] == ["Ours†", "Ours"] and planned[-1] == "NegGrad" and [r["name"] for r in rows.collect(str(tmp_path))][0] == "NegGrad"


def test_flat_settings_have_one_value_per_key(specs):
    flat = rows.flat(specs[0])
    assert flat["method"] == "surrogate" and flat["training.steps"] == 160 and flat["sampling.sampler"] == "ddim"
    assert all(not isinstance(v, (dict, list, tuple)) for v in flat.values())

"""Steps skip what is finished, pass by what failed, and the run still ends with a row for every cell."""

import errno
import json
import re

import pytest

from unpromptable.execution import plan_step, prepare_step, report_step, sample_step
from unpromptable.planning import plan
from unpromptable.planning import spec as planned
from unpromptable.reporting import rows
from unpromptable.storage import files, once
from unpromptable.storage.place import Output

TEXT = (
    "name: t\nforget: ['0012-3']\ncells:\n- {name: Ours, editor: flip}\n- {name: Other, editor: flip,"
    " training: {steps: 2}}\n"
)


@pytest.fixture
def specs(tmp_path):
    run = plan.resolve(TEXT).run()
    (tmp_path / "experiment.json").write_text(run.to_text())
    return run.cells


def out(where, spec, step="step", key=""):
    return Output(spec.place(where), step, "out.txt", key or spec.keys["unlearned"])


def make(calls, where, spec, content="x", key=""):
    def build(path, bar):
        calls.append(path.name)
        path.write_text(content)

    once.guarded(out(where, spec, key=key), build)


def test_a_finished_output_is_not_made_again_and_a_removed_one_is(specs, tmp_path):
    calls = []
    make(calls, tmp_path, specs[0]), make(calls, tmp_path, specs[0])
    assert len(calls) == 1
    out(tmp_path, specs[0]).path.unlink()
    make(calls, tmp_path, specs[0])
    assert len(calls) == 2


def test_an_output_of_other_inputs_is_not_taken_for_this_one(specs, tmp_path):
    calls = []
    make(calls, tmp_path, specs[0]), make(calls, tmp_path, specs[0], key="another")
    assert len(calls) == 2


def test_a_failed_step_leaves_a_row_that_says_so_and_the_others_go_on(specs, tmp_path):
    def fails(path, bar):
        raise ValueError("Ours: remember is nan at update 7")

    once.guarded(out(tmp_path, specs[0], "unlearn"), fails, str(tmp_path / "handed"))
    later = []
    make(later, tmp_path, specs[0]), make(later, tmp_path, specs[1])
    assert len(later) == 1 and (tmp_path / "handed").read_text() == ""
    first, second = rows.collect(str(tmp_path))
    assert (
        first.status == "failed"
        and first.error == "unlearn: Ours: remember is nan at update 7"
        and first.metrics["sscd"] is None
    )
    with pytest.raises(RuntimeError, match="cell Ours: unlearn: Ours: remember is nan at update 7"):
        report_step.stop_cell(f"t/{specs[0].folder.rpartition('/')[2]}", str(tmp_path))


def test_a_full_disk_is_named_and_leaves_no_half_output(specs, tmp_path):
    def fills(path, bar):
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    once.guarded(out(tmp_path, specs[0], "sample"), fills)
    assert "the disk is full" in rows.collect(str(tmp_path))[0].error
    assert not out(tmp_path, specs[0]).path.exists()


def drawn(where, counts, pictures, seeds):
    """The shards of a base model's images, finished, and the run that names them."""
    from unpromptable import data

    sets = {"sampling.images": 20, "sampling.shards": len(counts)}
    run = plan.resolve(TEXT, "", sets).run()
    for shard, count, first in zip(run.shards, counts, seeds):
        path = sample_step._output(run.shared, str(where), shard).path
        data.save(
            path, {"samples": pictures[:count]}, {"seeds": list(range(first, first + count)), "seconds": 1}
        )
    return run


def test_gather_refuses_a_missing_seed(tmp_path, pictures):
    run = drawn(tmp_path, (9, 10), pictures, (0, 10))
    sample_step.gather(run, run.shared, str(tmp_path))
    assert re.match("before.*: seed 9 is missing", once.failure(tmp_path)["error"])


def test_gather_puts_shards_in_the_order_of_their_seeds(tmp_path, pictures):
    from unpromptable import data

    run = drawn(tmp_path, (8, 12), pictures, (12, 0))
    assert data.load(sample_step.gather(run, run.shared, str(tmp_path)))[1]["seeds"] == list(range(20))


def test_shards_share_the_targets_of_the_injection_test_and_pods_share_the_shards(tmp_path, monkeypatch):
    from unpromptable import data

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    text = (
        "name: t\nforget: ['0012-3', '0013-3', '0014-3']\nsampling: {images: 4, steps: 2}\ninjection: {t: 2,"
        " draws: 1}\ncells: [{name: Ours, editor: flip}]\n"
    )
    where = str(tmp_path)
    plan_step.plan(text, "", {}, where, 1)
    shared = prepare_step.prepare(text, where)
    injected = lambda path: {k for k in data.load(path)[0] if k.startswith("injected/")}
    run = planned.read(where)
    shards = [sample_step._output(run.shared, where, shard).path for shard in run.shards]
    sample_step.sample(shared, where, 0, 2)
    assert [p.exists() for p in shards] == [True, False, True, False] and not (
        tmp_path / "shared" / "before.safetensors"
    ).exists()
    sample_step.sample(shared, where, 1, 2)
    assert [len(injected(p)) for p in shards] == [1, 1, 1, 0] and len(
        injected(tmp_path / "shared" / "before.safetensors")
    ) == 3


FEW = (
    "name: t\nforget: ['0012-3', '0013-3', '0014-3']\nsampling: {images: 4, steps: 2}\ninjection: {t: 2,"
    " draws: 1}\ncells:\n"
)


@pytest.fixture
def sampled(tmp_path, monkeypatch):
    """Plan so many images a shard of these cells, prepare, and draw the base model's: the shards drawn."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    where, drawn, usual = str(tmp_path), [], sample_step._draw
    monkeypatch.setattr(
        sample_step, "_draw", lambda path, *rest: drawn.append(path.name) or usual(path, *rest)
    )

    def sample(cells, images_per_shard, pods=1):
        drawn.clear()
        plan_step.plan(FEW + cells, "", {}, where, images_per_shard)
        sample_step.sample(prepare_step.prepare(FEW + cells, where), where, 0, pods)
        return len(drawn)

    return sample


def test_images_that_are_gathered_are_not_drawn_anew_into_other_shards(sampled):
    cells = "- {name: Ours, editor: flip}\n"
    assert [sampled(cells, 1), sampled(cells, 0), sampled(cells, 2)] == [4, 0, 0]


def test_half_a_run_goes_on_with_its_cells_in_another_order(sampled, tmp_path):
    from unpromptable import data

    one, two = (
        f"- {{name: {n}, editor: flip, forget: {t}}}\n" for n, t in (("A", "[0014-3]"), ("B", "[0012-3]"))
    )
    assert [sampled(one + two, 1, pods=2), sampled(two + one, 1)] == [2, 2]
    arrays, _ = data.load(tmp_path / "shared" / "before.safetensors")
    assert {k for k in arrays if k != "samples"} == {"injected/0012-3", "injected/0014-3"}


def test_base_images_that_cannot_be_drawn_stop_the_run_before_its_cells(specs, tmp_path):
    files.write_text(
        tmp_path / "shared" / "failed.json", json.dumps({"step": "sample 0", "error": "the disk is full"})
    )
    with pytest.raises(RuntimeError, match="sample 0: the disk is full"):
        sample_step.sample("t/shared", str(tmp_path), 0, 1)
    sample_step.sample(f"t/{specs[0].folder.rpartition('/')[2]}", str(tmp_path), 0, 1)
    assert not list(tmp_path.glob("**/samples-*"))


def test_the_cells_that_take_longest_are_planned_first(tmp_path):
    ids = plan_step.plan("table1_multiple", "miniature", {}, str(tmp_path))
    names = [planned.read(tmp_path, cell).cells[0].name for cell in ids]
    assert (
        names[:2] == ["Ours†", "Ours"]
        and names[-1] == "NegGrad"
        and [r.name for r in rows.collect(str(tmp_path))][0] == "NegGrad"
    )


def test_an_id_of_another_sweep_is_refused(specs, tmp_path):
    run = planned.read(tmp_path)
    assert run.of(specs[0].folder.rpartition("/")[2]).name == "Ours"
    with pytest.raises(
        ValueError,
        match="ours-00000000 is no cell of the sweep that was planned last; give each sweep a store",
    ):
        run.of("ours-00000000")


def test_flat_settings_have_one_value_per_key(specs):
    flat = rows.flat(plan.resolve(TEXT).experiment, specs[0])
    assert (
        flat["method"] == "surrogate" and flat["training.steps"] == 160 and flat["sampling.sampler"] == "ddim"
    )
    assert all(not isinstance(v, (dict, list, tuple)) for v in flat.values())


def shared(tmp_path, error, step="prepare"):
    """One attempt at a shared step that ends with `error`: whether it began, and the error it ended with."""
    began = []
    try:
        with once.Shared(str(tmp_path), step) as this:
            if not this.stopped:
                began.append(step)
                if error:
                    raise error
    except Exception as raised:
        return bool(began), raised
    return bool(began), None


def events(tmp_path):
    return [
        e["text"]
        for e in map(json.loads, (tmp_path / "progress.jsonl").read_text().splitlines())
        if e["kind"] == "failed"
    ]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("real: bad.png is\ntruncated"),
        FileNotFoundError("forget: a.png"),
        PermissionError(13, "denied"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_bad_input_of_a_shared_step_ends_it_well_is_told_once_and_not_tried_again(tmp_path, error):
    assert shared(tmp_path, error) == (True, None)
    assert [shared(tmp_path, error) for _ in range(2)] == [(False, None)] * 2
    assert (
        len(events(tmp_path)) == 1
        and "\n" not in events(tmp_path)[0]
        and once.failure(tmp_path)["error"] == events(tmp_path)[0]
    )


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("hub: no route"),
        RuntimeError("CUDA out of memory"),
        KeyError("a bug"),
        OSError(errno.EIO, "Input/output error"),
    ],
)
def test_another_fault_of_a_shared_step_is_raised_for_the_engine_and_told_once(tmp_path, error):
    for _ in range(2):
        assert shared(tmp_path, error) == (True, error)
    assert len(events(tmp_path)) == 1 and once.failure(tmp_path)["again"]
    assert shared(tmp_path, None) == (True, None) and once.failure(tmp_path) is None


def test_a_lost_connection_fails_a_cells_step_until_it_is_back(specs, tmp_path):
    def lost(path, bar):
        raise ConnectionError("the object store does not answer")

    with pytest.raises(ConnectionError):
        once.guarded(out(tmp_path, specs[0], "sample"), lost)
    assert rows.collect(str(tmp_path))[0].error == "sample: the object store does not answer"
    calls = []
    again = lambda path, bar: (calls.append(1), path.write_text("x"))
    once.guarded(out(tmp_path, specs[0], "sample"), again)
    assert calls and rows.collect(str(tmp_path))[0].error == "did not finish"


def test_what_stopped_a_shared_step_stands_in_the_report_once_and_in_the_sweeps_run(
    tmp_path, monkeypatch, pictures
):
    from PIL import Image

    from unpromptable import tracking

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "real").mkdir()
    for i in range(3):
        Image.fromarray(pictures[i]).save(tmp_path / "real" / f"{i}.png")
    (tmp_path / "real" / "1.png").write_bytes((tmp_path / "real" / "1.png").read_bytes()[:100])
    where, text = (
        str(tmp_path / "run"),
        (
            f"name: t\nreal: {tmp_path}/real\nmodel: {{source: miniature}}\nnetworks: miniature\nforget:"
            " [0.png]\ncells:\n- {name: A, editor: flip}\n- {name: B, method: naive, editor: flip}\n"
        ),
    )
    cells = plan_step.plan(text, "", {}, where)
    assert len(cells) == 2 and prepare_step.prepare(text, where) == ""
    later = []
    make(later, where, planned.read(where, cells[0]).cells[0])
    assert later == []
    with pytest.raises(RuntimeError, match="prepare: .*1.png"):
        report_step.stop(where, text)
    report_step.report(where, text, "FAILED")
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("1.png") == 1 and "did not run, since prepare failed" in page
    client = tracking.client(where)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    sweep = next(r for r in runs if tracking.PARENT not in r.data.tags)
    assert "1.png" in sweep.data.tags["error"] and {r.info.status for r in runs} == {"FAILED"}
    (tmp_path / "real" / "1.png").unlink()
    plan_step.plan(text, "", {}, where)
    assert once.failure(where) is None


def test_a_file_that_the_plan_does_not_find_is_told_in_a_report_of_all_its_cells(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    where, text = str(tmp_path), "name: t\nforget: [nowhere.png]\ncells:\n- {name: A, editor: flip}\n"
    assert plan_step.plan(text, "", {}, where) == [] and prepare_step.prepare(text, where) == ""
    report_step.report(where, text, "FAILED")
    page = (tmp_path / "report.html").read_text()
    assert page.count("nowhere.png is neither") == 1 and [r.status for r in rows.collect(where)] == ["failed"]


def test_an_experiment_that_cannot_be_read_is_told_in_the_report(tmp_path):
    where = str(tmp_path)
    (tmp_path / "experiment.json").write_text("{}")  # an earlier run's
    assert plan_step.plan("name: t\nforget: ['0012-3']\nsamplng: {}\n", "", {}, where) == []
    report_step.report(where, "", "FAILED", str(tmp_path / "page"))
    assert (
        "samplng" in (tmp_path / "page").read_text()
        and json.loads((tmp_path / "rows.json").read_text()) == []
    )


@pytest.mark.parametrize(
    "where, experiment, said",
    [
        ("{name}", "tabel2", "tabel2 is neither a file nor one that ships"),
        ("nowhere://bucket/{name}", "demo", "nowhere://bucket/demo cannot be used"),
    ],
)
def test_a_run_whose_store_cannot_be_told_shows_why_on_its_report(tmp_path, where, experiment, said):
    where = where if "://" in where else f"{tmp_path}/{where}"
    report_step.report(where, experiment, "FAILED", str(tmp_path / "page"))
    assert said in (tmp_path / "page").read_text()
    with pytest.raises((ValueError, OSError), match="neither a file|cannot be used"):
        report_step.report(where, experiment, "FAILED")

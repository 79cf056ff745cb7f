"""Steps skip what is finished, pass by what failed, and the run still ends with a row for every cell."""

import errno
import json
import re

import pytest

from unpromptable.execution import plan_step, prepare_step, report_step, sample_step
from unpromptable.planning import plan
from unpromptable.planning import spec as planned
from unpromptable.reporting import rows
from unpromptable.storage import attempts, files, once
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

    def sample(cells, images_per_shard, pods=1, sampling="images: 4"):
        drawn.clear()
        text = FEW.replace("images: 4", sampling) + cells
        plan_step.plan(text, "", {}, where, images_per_shard)
        sample_step.sample(prepare_step.prepare(text, where), where, 0, pods)
        return len(drawn)

    return sample


def test_images_that_are_gathered_are_not_drawn_anew_into_other_shards(sampled):
    cells = "- {name: Ours, editor: flip}\n"
    assert [sampled(cells, 1), sampled(cells, 0), sampled(cells, 2)] == [4, 0, 0]


def test_half_a_run_goes_on_where_as_many_shards_have_other_images(sampled, tmp_path):
    from unpromptable import data

    cells = "- {name: Ours, editor: flip}\n"
    stops, even = ("images: 6, batch: 1, " + more for more in ("stop: dominated, when: forgets", "shards: 4"))
    # of 0-1-2-3-6 the first and third, then of 0-1-3-4-6 all but the first
    assert [sampled(cells, 0, pods=2, sampling=stops), sampled(cells, 0, sampling=even)] == [2, 3]
    assert data.load(tmp_path / "shared" / "before.safetensors")[1]["seeds"] == list(range(6))


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


@pytest.mark.parametrize(
    "error, words",
    [
        (KeyError("oops"), "unlearn: KeyError: 'oops'"),
        (
            TypeError("float() argument must be\na number"),
            "unlearn: TypeError: float() argument must be a number",
        ),
        (AssertionError(), "unlearn: AssertionError: "),
    ],
)
def test_a_bug_is_the_cause_in_the_row_is_raised_and_is_tried_again(error, words, specs, tmp_path):
    def bug(path, bar):
        raise error

    for _ in range(2):
        with pytest.raises(type(error)):
            once.guarded(out(tmp_path, specs[0], "unlearn"), bug)
        assert rows.collect(str(tmp_path))[0].error == words.rstrip(": ")
    calls = []
    once.guarded(
        out(tmp_path, specs[0], "unlearn"), lambda path, bar: (calls.append(1), path.write_text("x"))
    )
    assert calls and rows.collect(str(tmp_path))[0].error == "did not finish"


def test_a_fault_that_the_pod_tries_again_is_no_failure_of_the_cell(specs, tmp_path):
    def lost(path, bar):
        raise attempts.Fault("process 2 of 2 killed")

    with pytest.raises(attempts.Fault):
        once.guarded(out(tmp_path, specs[0], "unlearn"), lost)
    assert rows.collect(str(tmp_path))[0].error == "did not finish"

"""What steps took: every attempt counts, of what was made of these inputs."""

import json
import sys
import time
from types import SimpleNamespace

import pytest
from finished_run import row

from unpromptable.planning import cost, plan
from unpromptable.reporting import took
from unpromptable.reporting.row import Row, Took
from unpromptable.storage import files, meter, once

TEXT = """
name: t
forget: ['0012-3']
sampling: {images: 40, shards: 2}
cells:
- {name: A, editor: flip, training: {steps: 5, batch: 4}}
"""
UNIT = Took(
    seconds=2.0, gpu_seconds=0.0, memory=1 << 30, gpu_memory=0, again=0, images_per_second=5.0, share=None
)


@pytest.fixture
def planned():
    run = plan.resolve(TEXT).run()
    return run, run.cells[0]


def attempt(store, spec, seconds, name="unlearned", step="unlearn", stage="unlearned", owner="a", gpu=0.0):
    """One attempt's file, as the meter leaves it."""
    one = meter.Spent(name, step, spec.keys.get(stage, stage), seconds, gpu, 100, 7)
    place = spec.place(store).path(f"{meter.FOLDER}/{name}.{owner}.json")
    files.write_text(place, json.dumps(one.__dict__))


def test_attempts_at_a_step_add_up_and_those_of_other_inputs_do_not_count(planned, tmp_path):
    run, spec = planned
    attempt(tmp_path, spec, 3.0, owner="a")
    attempt(tmp_path, spec, 1.0, owner="b")
    attempt(tmp_path, spec, 50.0, stage="of other inputs", owner="c")
    for i in range(2):
        attempt(tmp_path, spec, 4.0, f"samples-{i}", "sample", "samples", gpu=8.0)
    found = took.of(run.experiment, spec, tmp_path)
    assert list(found) == ["unlearn", "sample"]
    assert found["unlearn"].seconds == 4.0 and found["unlearn"].again == 1 and found["unlearn"].memory == 100
    assert found["unlearn"].images_per_second == 5 * 4 / 4.0
    assert found["sample"].again == 0 and found["sample"].images_per_second == 40 / 8.0
    assert found["sample"].gpu_seconds == 16.0 and found["sample"].gpu_memory == 7


def test_the_share_is_the_plans_operations_over_the_time_at_the_stated_rate(planned, tmp_path):
    run, spec = planned
    attempt(tmp_path, spec, 4.0)
    attempt(tmp_path, spec, 4.0, "samples-0", "sample", "samples", gpu=2.0)
    flop = {s.step: s.flop for s in cost.of(run.experiment, spec.cell, spec.targets)}
    found = took.of(run.experiment, spec, tmp_path)
    assert found["unlearn"].share == pytest.approx(flop["unlearn"] / (4.0 * 400e12))
    assert found["sample"].share == pytest.approx((flop["sample"] + flop["inject"]) / (2.0 * 400e12))
    attempt(tmp_path, spec, 1.0, "injected.safetensors", "inject", "samples")
    apart = took.of(run.experiment, spec, tmp_path)
    assert apart["sample"].share == pytest.approx(flop["sample"] / (2.0 * 400e12))
    assert apart["inject"].share == pytest.approx(flop["inject"] / (1.0 * 400e12))


def test_what_is_made_leaves_its_time_and_peak_memory_also_where_it_fails(planned, tmp_path, monkeypatch):
    _, spec = planned
    output = spec.output(tmp_path, "unlearn", "out", "unlearned")
    monkeypatch.setattr(meter, "EVERY", 0.0)
    seen = []

    def breaks(path, bar):
        bar(1, 2)
        seen.extend(meter.spent(output.place, {output.key}))
        raise RuntimeError("lost")

    def works(path, bar):
        held = bytearray(64 << 20)
        held[::4096] = b"1" * len(held[::4096])
        time.sleep(0.05)
        path.write_text("x")

    with pytest.raises(RuntimeError, match="lost"):
        once.make(output, breaks)
    once.make(output, works), once.make(output, works)
    attempts = meter.spent(output.place, {output.key})
    assert len(seen) == 1 and len(attempts) == 2
    assert max(a.seconds for a in attempts) >= 0.05 and min(a.memory for a in attempts) > 8 << 20
    assert {a.gpu_seconds for a in attempts} == {0.0}


def test_devices_count_where_cuda_was_used(planned, tmp_path, monkeypatch):
    _, spec = planned
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        is_available=lambda: True,
        device_count=lambda: 2,
        max_memory_allocated=lambda i: (5, 9)[i],
        reset_peak_memory_stats=lambda i: None,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    output = spec.output(tmp_path, "sample 0", "out", "samples")
    once.make(output, lambda path, bar: (time.sleep(0.02), path.write_text("x")))
    (one,) = meter.spent(output.place, {output.key})
    assert one.gpu_seconds == pytest.approx(2 * one.seconds, abs=2e-3) and one.gpu_memory == 9
    assert one.step == "sample"


def test_a_row_keeps_what_it_took_and_a_line_adds_up(tmp_path):
    one = row("Ours a", 0.2, 0.1, took={"sample": UNIT})
    assert Row.from_json(json.loads(json.dumps(one.to_json()))) == one
    longer = Took(**{**UNIT.__dict__, "seconds": 6.0, "images_per_second": 1.0, "memory": 1, "again": 2})
    both = took.together([{"sample": UNIT}, {"sample": longer}])["sample"]
    assert both.seconds == 8.0 and both.memory == 1 << 30 and both.again == 2
    assert both.images_per_second == pytest.approx(16 / 8)  # 10 and 6 images


def test_the_table_has_a_line_for_each_step_and_no_empty_column():
    titles, lines = took.table([row("Ours", 0.2, 0.1, took={"sample": UNIT})], {"prepare": UNIT})
    assert titles == ["", "step", "seconds", "images/s", "memory"]
    assert lines == [
        ["before", "prepare", "2.0", "5", "1.00 GiB"],
        ["Ours", "sample", "2.0", "5", "1.00 GiB"],
    ]

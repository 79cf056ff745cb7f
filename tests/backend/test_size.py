"""A sweep's nodes, pods and bytes, held against one that ran, and every number of cells within what the
engine holds.
"""

import gzip
import json
from pathlib import Path

import pytest

from pipelines.backend import argo
from pipelines.cli import size
from unpromptable.planning import plan
from unpromptable.planning.experiment import to_json

HERE = Path(__file__).parent
COMPILED = HERE.parents[1] / "pipelines" / "ablation_sweep.yaml"
DEMO = {"experiment": (HERE.parents[1] / "pipelines" / "experiments" / "demo.yaml").read_text()}
CELLS = [f"demo/a-cell-with-a-rather-long-name-{i:08x}" for i in range(500)]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The sweep that ran on KFP 2.17: three cells of two shards, two sub-pipelines to a cell, whole specs and
    rows as arguments.
    """
    path = tmp_path_factory.mktemp("size") / "sweep.yaml"
    path.write_bytes(gzip.decompress((HERE / "measured_sweep.yaml.gz").read_bytes()))
    resolved = plan.resolve("demo", "", {}, inputs=False)
    told = {"experiment": to_json(resolved.experiment)}  # a spec as it was then, whole
    keys = lambda s: {
        "key": s.keys["unlearned"],
        "surrogates": s.keys["surrogates"],
        "row_key": s.keys["row"],
    }
    told_of = lambda s: {**told, "cell": to_json(s.cell), "targets": s.targets, "name": s.name, **keys(s)}
    specs = [json.dumps({**told_of(s), "folder": s.folder}) for s in resolved.run().cells[:3]]
    shared = {
        **told,
        "targets": resolved.targets(),
        "folder": "shared",
        "key": resolved.key,
        "name": "before",
    }
    piece = json.dumps({"first": 0, "count": 128, "shard": 0, "shards": 2})
    made = {
        "plan": specs,
        "prepare": json.dumps(shared),
        "split": [piece] * 2,
        "for-loop-2": ["r" * 3600] * 3,
        "list": 2,
    }
    return argo.measure(path, DEMO, made)


def test_the_sweep_that_ran_has_its_nodes_pods_and_bytes(measured):
    assert (measured.nodes, measured.pods, measured.steps, measured.path) == (307, 82, 26, 36)
    # of cells that had fewer settings than they have now
    assert measured.compressed == pytest.approx(277_000, rel=0.08)
    assert measured.raw == pytest.approx(2_600_000, rel=0.08)
    assert measured.spec == pytest.approx(150_000, rel=0.1)


def per_cell(few, more, field):
    return (getattr(more, field) - getattr(few, field)) / 10


def test_a_cell_costs_at_most_four_steps_and_less_than_half_of_what_it_did(measured):
    few, more = (size.sweep(COMPILED, DEMO, CELLS[:n]) for n in (10, 20))
    assert (
        per_cell(few, more, "steps") == 4
        and per_cell(few, more, "nodes") == 30
        and per_cell(few, more, "pods") == 9
    )
    before = {
        "nodes": 71,
        "pods": 19,
    }  # the earlier shape's: 307 nodes and 82 pods, of which 94 and 25 are no cell's
    assert all(per_cell(few, more, k) < n / 2 for k, n in before.items())
    assert per_cell(few, more, "compressed") < (measured.compressed / measured.nodes * 71) / 2


def test_the_wait_of_three_cells_is_little_more_than_half_of_what_was_measured(measured):
    now = size.sweep(COMPILED, DEMO, CELLS[:3])
    assert (
        measured.path * size.SECONDS == pytest.approx(480)
        and now.path == 21
        and now.path * size.SECONDS < 285
    )


@pytest.mark.parametrize("number, runs", [(3, 1), (10, 1), (30, 1), (42, 2), (100, 4), (500, 16)])
def test_every_number_of_cells_is_divided_into_runs_that_the_engine_holds(number, runs):
    found, one = size.divide(COMPILED, DEMO, CELLS[:number])
    assert found == runs and one.total <= size.FILL * size.WORKFLOW and one.argument < 16_000


def test_the_longest_argument_does_not_grow_with_the_cells():
    assert size.sweep(COMPILED, DEMO, CELLS[:1]).argument == size.sweep(COMPILED, DEMO, CELLS[:30]).argument


def test_an_experiment_too_long_for_the_engine_is_refused_by_its_size(tmp_path):
    import random

    text = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=99_000))
    with pytest.raises(
        ValueError,
        match=(
            "a run of one cell is .* bytes for Argo .* 699051 and 87381 are allowed; put it into the image"
            " and give its name"
        ),
    ):
        size.most(COMPILED, {"experiment": text}, CELLS[:3])


def test_the_command_prints_a_line_per_number_of_cells(capsys):
    from pipelines.__main__ import main

    assert main(["size", "demo", "--cells", "3", "42"]) == 0
    text = capsys.readouterr().out
    assert "158" in text and "44" in text and "67% are used" in text


def test_a_hundred_thousand_images_in_a_thousand_shards_cost_the_engine_no_more_than_a_few():
    sizes, shared = {}, {}
    for images, shards in ((256, 2), (100_000, 1000)):
        sets = {"sampling.images": images, "sampling.shards": shards}
        run = plan.resolve("demo", "", sets, inputs=False).run()
        shared[shards] = run
        arguments = {**DEMO, "overrides": json.dumps(sets)}
        sizes[shards] = size.sweep(COMPILED, arguments, [run.id(spec) for spec in run.cells])
    few, many = sizes[2], sizes[1000]
    assert (many.nodes, many.pods, many.steps) == (few.nodes, few.pods, few.steps)
    assert many.argument - few.argument < 20 and many.total - few.total < 2000 and size.fits(many)
    run = shared[1000]
    again = type(run).from_text(run.to_text())  # what the steps read of the store
    assert again.shards == run.shards and len(run.to_text()) < 200_000
    edges = [(s.first, s.first + s.count) for pod in (0, 1) for s in again.shards[pod::2]]
    assert sorted(edges) == [(i, i + 100) for i in range(0, 100_000, 100)]
    assert len({s.file for s in again.shards}) == 1000

"""Operations are what torch counts, and the dry run says what a run would do without any of its inputs."""

import json
from dataclasses import replace

import pytest
from torch.utils.flop_counter import FlopCounterMode

from pipelines.__main__ import main
from unpromptable.models.families import ddpm
from unpromptable.planning import cost, plan, plugins
from unpromptable.planning.settings import Training
from unpromptable.unlearning import training

TABLES = ("table1", "table1_multiple", "table3", "table4", "table6")


def flop(call):
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "name, settings",
    [
        ("neggrad", {"mode": "combined"}),
        ("surrogate", {"remember": "base"}),
        ("siss", {"importance": False}),
        ("salun", {"loss": "ascent"}),
    ],
)
def test_a_setting_that_adds_passes_is_counted(tiny, images, name, settings):
    method = plugins.make("method", name, settings)
    batch = replace(
        training.draw_batch(tiny, Training(batch=4), images, 0, 0, False), reference=tiny.reference()
    )
    forward, backward = method.passes
    one = flop(lambda: tiny.predict(batch.remember, batch.t))
    assert flop(lambda: method.update(tiny, batch)) == pytest.approx((forward + 2 * backward) * one, rel=0.05)


def test_the_shipped_networks_constants_are_what_torch_counts():
    from importlib import resources

    import numpy as np

    from unpromptable.scoring import metric_networks

    found, said = (
        ddpm.Family().operations(resources.files("unpromptable") / "miniature" / "ddpm"),
        cost.NETWORKS["ddpm", "miniature", 32],
    )
    assert (found.forward, found.backward) == (
        pytest.approx(said.forward),
        pytest.approx(said.backward, rel=1e-4),
    )
    networks, pictures = metric_networks.load("miniature"), np.zeros((4, 32, 32, 3), np.uint8)
    counted = {
        "sscd": flop(lambda: networks.descriptor(pictures)),
        "fid": flop(lambda: networks.features(pictures)),
        "lpips": flop(lambda: networks.perceptual(pictures, pictures)),
    }
    assert {k: v / 4 for k, v in counted.items()} == pytest.approx(
        cost.METRIC_NETWORKS["miniature"], rel=0.01
    )


def test_table_1_costs_what_its_steps_cost():
    """240 updates of 8 images, 2 + 2 passes of 497 GFLOP: 5.7 PFLOP; 10,000 images of 50 calls: 249 PFLOP."""
    found = list(cost.steps(plan.resolve("table1", "paper", {}, inputs=False)))
    each = {(s.step, s.cell): s.flop for s in found}
    assert each["unlearn", "Ours, 10000"] == pytest.approx(5.724e15, rel=1e-3) and each[
        "unlearn", "SISS, 10000"
    ] == pytest.approx(9.54e15, rel=1e-3)
    assert each["unlearn", "EraseDiff, 10000"] == pytest.approx(1.43e15, rel=2e-3) and each[
        "unlearn", "NegGrad, 10000"
    ] == pytest.approx(0.119e15, rel=3e-3)
    assert each["sample", ""] == each["sample", "Ours, 10000"] == pytest.approx(248.5e15, rel=1e-3)
    assert each["inject", "Ours, 10000"] == pytest.approx(8 * 0.125e15, rel=5e-3)
    assert cost.Step("sample", "", "", 1.44e18).hours(400) == pytest.approx(1.0)


def test_four_targets_in_sequence_cost_four_times_the_updates():
    found = {
        s.cell: s.flop
        for s in cost.steps(plan.resolve("table1_multiple", "paper", {}, inputs=False))
        if s.step == "unlearn"
    }
    assert found["Ours"] == pytest.approx(4 * 5.724e15, rel=1e-3)


def test_an_unknown_network_leaves_its_operations_open(capsys):
    found = list(cost.steps(plan.resolve("table4", "paper", {"model.source": "someone/else"}, inputs=False)))
    assert [s.flop for s in found if s.step in ("sample", "unlearn", "inject")] == [None] * 11
    assert main(["plan", "table4", "--world", "paper", "--set", "model.source=someone/else"]) == 0
    assert (
        "Not counted, since the operations of the networks are not known here: inject, sample, unlearn"
        in " ".join(capsys.readouterr().out.split())
    )


def test_sdedit_costs_its_steps_for_whole_batches():
    assert plugins.make("editor", "sdedit", {"strength": 0.25, "draws": 3}).base_calls(1000) == 8 * 251


@pytest.mark.parametrize("name", TABLES)
def test_the_paper_world_resolves_to_the_papers_values(name):
    p = plan.resolve(name, "paper", {}, inputs=False)
    steps = {"surrogate": 240, "neggrad": 10, "erasediff": 60, "siss": 60, "retrack": 40}
    for cell in p.cells:
        assert (
            cell.training.lr == 5e-6
            and cell.training.steps == steps[cell.method.name]
            and cell.training.batch == (64 if cell.method.name in ("siss", "retrack") else 8)
        )
        assert (
            cell.method.name != "surrogate"
            or name == "table3"
            or plugins.make("method", "surrogate", cell.method.settings).beta == 5e-5
        )
    assert (p.experiment.model.source, p.experiment.sampling.images, p.experiment.networks.name) == (
        "google/ddpm-celebahq-256",
        10_000,
        "paper",
    )


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("world", ["miniature", "paper"])
def test_the_dry_run_needs_nothing_of_the_run(name, world, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", name, "--world", world, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sum(s["count"] for s in found["shards"]) == found["experiment"]["sampling"]["images"]
    assert {s["cell"] for s in found["steps"]} == {"", *(c["name"] for c in found["cells"])} and all(
        s["gpu_hours"] >= 0 for s in found["steps"]
    )
    assert not list(tmp_path.iterdir())


def test_the_dry_run_shows_settings_seeds_shards_operations_and_hours(capsys):
    assert (
        main(
            [
                "plan",
                "table1",
                "--world",
                "paper",
                "--tflops",
                "200",
                "--set",
                "sampling.steps=100",
                "--images-per-shard",
                "5000",
            ]
        )
        == 0
    )
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "36 cells",
        "6 forget images",
        "beta 5e-05",
        "images 0..9999",
        "2 per model: 0..4999, 5000..9999",
        "10,000 images of 100 ddim steps",
        "240 updates of 8 images, 2 forward and 2 backward",
        "5.72 P",
        "GPU hours at 200 TFLOP/s",
        "Ours, 6 cells",
        "10000.jpg; 10001.jpg",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    "words, message",
    [
        (["plan", "table1", "--tflops", "0"], "--tflops is 0; it must be above 0"),
        (["plan", "tabel1"], "choose from demo, distilled, equal, figure8, rival, several, table1"),
        (["plan", "table3", "--set", "method.gamma=1"], "has a setting 'gamma'"),
    ],
)
def test_bad_words_are_explained(words, message, capsys):
    assert main(words) == 2 and message in capsys.readouterr().err

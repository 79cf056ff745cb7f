"""Two processes that share each update do what one does, for every method; only the first writes."""

import json

import numpy as np
import pytest
import shared_update
import torch
from shared_update import ASKED

from unpromptable.execution.crew import Crew
from unpromptable.models import device
from unpromptable.planning import plugins
from unpromptable.unlearning import together


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """What each of two processes found, what one alone finds, and both folders."""
    folder = tmp_path_factory.mktemp("together")
    with pytest.MonkeyPatch.context() as patch, Crew(shared_update.everything, ()) as crew:
        patch.setenv(device.VARIABLE, "2")
        both = crew.answers([(folder / "both",)] * crew.start(), lambda *_: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as each of two has; sums of more threads round otherwise, which AdamW enlarges
    alone = {
        "gradients": {name: shared_update.gradient(name) for name in ASKED},
        "weights": {name: shared_update.weights(name, folder / "alone" / name) for name in ASKED},
    }
    torch.set_num_threads(threads)
    return both, alone, folder


def test_every_method_that_is_found_was_asked():
    assert {method for method, _ in ASKED.values()} == set(plugins.names("method"))


@pytest.mark.parametrize("name", ASKED)
def test_two_processes_leave_the_gradient_of_one_also_where_their_shares_differ(done, name):
    (one, other), alone, _ = done
    (ours, told), (theirs, _) = one["gradients"][name], other["gradients"][name]
    wanted, said = alone["gradients"][name]
    assert np.array_equal(ours, theirs), "all must take the same step, bit for bit"
    assert np.linalg.norm(ours - wanted) <= 1e-6 * np.linalg.norm(wanted) and np.linalg.norm(wanted) > 0
    assert told == pytest.approx(said, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", ASKED)
def test_two_processes_end_with_the_weights_of_one_and_write_one_history(done, name):
    (one, other), alone, folder = done
    assert np.array_equal(one["weights"][name], other["weights"][name])
    np.testing.assert_allclose(one["weights"][name], alone["weights"][name], rtol=0, atol=1e-6)
    ours, wanted = (
        [json.loads(line) for line in (folder / of / name / "history.jsonl").read_text().splitlines()]
        for of in ("both", "alone")
    )
    assert [h["step"] for h in ours] == [1, 2, 3, 4]
    for line, expected in zip(ours, wanted):
        assert line.pop("target") == expected.pop("target")
        assert line == pytest.approx(expected, rel=1e-3, abs=1e-6)
    left = sorted(p.name for p in (folder / "both" / name).iterdir())
    assert left == ["history.jsonl", "resume.safetensors"]


def test_memory_that_one_process_lacks_makes_all_take_smaller_parts(done):
    (one, other), _, _ = done
    assert one["fitted"][0] == other["fitted"][0] == 1
    assert np.array_equal(one["fitted"][1], other["fitted"][1])


def test_what_the_first_process_finds_forgotten_ends_the_updates_of_all(done):
    assert [found["stopped"] for found in done[0]] == [2, 2]


def test_a_method_that_draws_within_a_loss_is_refused_by_several_processes(done):
    assert all("hand it on as `batch.drawn`, or use one GPU" in found["refused"] for found in done[0])


def test_weights_that_are_no_longer_the_same_stop_all_processes(done):
    assert all("weights differ between the processes" in found["apart"] for found in done[0])


def test_a_process_alone_measures_all_and_writes():
    assert together.share(5) == range(5) and together.first() and together.number() == 1

"""What lies around a run and shows its targets too: it is told, and what broke off is removed."""

import json
import re
import shutil

import numpy as np
import pytest
from secret_pictures import ALICE, BOB, names_left, purge

from pipelines.cli import in_series
from unpromptable import data
from unpromptable.execution import answering
from unpromptable.execution.purging import found, nearby
from unpromptable.releasing import begun, series
from unpromptable.unlearning import held


@pytest.fixture
def asked(run, tmp_path):
    """The run as that of a request, which is the only thing in its folder but for what was trained last."""
    home = tmp_path / "requests" / "ticket-1"
    home.mkdir(parents=True)
    run.rename(home / "run")
    (home / "run" / answering.BASE).write_text("{}")
    (home / nearby.EXPERIMENT).write_text(f"name: t\nforget: ['/home/u/{ALICE}', '{BOB}']\n")
    return home / "run"


def another(run, where, rename=False, repaint=False):
    """A run like this one at another place: of targets of other names, or with other pictures."""
    shutil.copytree(run, where)
    path, plan = where / "shared" / "data.safetensors", where / "experiment.json"
    arrays, manifest = (dict(one) for one in data.load(path))
    if rename:
        plan.write_text(re.sub("people/[^'\"]*?(alice|bob)", r"men/not-\1", plan.read_text()))
        manifest["forget_names"] = ["men/not-alice b.png", "men/not-bob_1.png"]
    if repaint:
        arrays["forget"] = 255 - np.array(arrays["forget"])
    data.save(path, {k: np.array(v) for k, v in arrays.items()}, manifest)
    return where


def told(capsys):
    """The folders that a purge said it did not reach."""
    return re.findall(r"not reached: (\S+): another run of the same targets", capsys.readouterr().out)


def test_the_names_of_what_a_request_leaves_are_those_that_its_command_writes():
    assert (nearby.HELD, nearby.BASE) == (in_series.HELD, answering.BASE)


@pytest.mark.parametrize(
    "how, is_told",
    [({}, 1), ({"rename": True}, 1), ({"repaint": True}, 1), ({"rename": True, "repaint": True}, 0)],
)
def test_another_requests_run_is_told_where_it_shows_a_target_by_name_or_by_picture(
    asked, how, is_told, capsys
):
    other = another(asked, asked.parents[1] / "ticket-1b" / "run", **how)
    assert purge(asked) == is_told
    assert told(capsys) == [str(other)] * is_told


def test_a_request_beside_a_plain_run_and_a_plain_run_beside_a_request_are_told(asked, capsys):
    plain = another(asked, asked.parents[1] / "plain")
    assert purge(plain) == 1 and told(capsys) == [str(asked)]
    another(asked, asked.parents[1] / "second")
    assert purge(asked) == 1 and told(capsys) == [str(asked.parents[1] / "second")]


def test_beside_the_folder_of_a_run_of_no_request_nothing_is_looked_for(asked, capsys):
    another(asked, asked.parents[1] / "ticket-1b" / "run")
    (asked / answering.BASE).unlink()
    assert purge(asked) == 0 and not told(capsys)


def test_requests_of_the_same_series_are_told_wherever_they_lie(asked, tmp_path, capsys):
    far = another(asked, tmp_path / "far" / "away" / "ticket-2" / "run")
    empty = dict.fromkeys(("name", "sha256", "request", "row", "created", "outcome", "version", "base"), "")
    numbers = {"bound": None, "gates": (), "tried": 0, "budget": 0, "own": {}, "drift": {}, "sscd": None}
    (tmp_path / "series").mkdir()
    for folder in (asked.parent, far.parent):
        one = {**empty, **numbers, "earlier": {}, "folder": str(folder), "sha256": folder.name}
        series.add(tmp_path / "series", series.Entry(**one))
    (asked.parent / begun.FILE).write_text(json.dumps({"home": str(tmp_path / "series")}))
    assert purge(asked) == 1 and told(capsys) == [str(far)]


@pytest.mark.parametrize("folder", ["ticket-2/run", "ticket-2"])
def test_what_a_request_that_was_killed_held_of_an_earlier_target_is_told_and_removed(
    asked, secrets, capsys, folder
):
    left = asked.parents[1] / "ticket-2" / "run"
    left.mkdir(parents=True)
    own = secrets.forget[ALICE][None]
    held.write(left / nearby.HELD, held.Held(own, own))
    (left / f"{nearby.HELD}.part-1.safetensors").write_bytes(own.tobytes())
    assert purge(asked) == 1 and told(capsys) == [str(left)]
    assert purge(left, "--target", ALICE) == 2 and "no run is there" in capsys.readouterr().err
    assert purge(left.parents[1] / folder) == 0
    assert [p.name for p in left.iterdir()] == [".lock"]  # and no note, as of pictures of its own
    assert purge(left) == 2


def test_what_a_request_held_of_another_target_is_not_told(asked, secrets, capsys):
    left = asked.parents[1] / "ticket-2" / "run"
    left.mkdir(parents=True)
    held.write(left / nearby.HELD, held.Held(secrets.seeds[:1], secrets.seeds[:1]))
    assert purge(asked) == 0 and not told(capsys)


def test_pictures_whose_plan_is_gone_are_removed(asked):
    (asked / "experiment.json").unlink()
    assert purge(asked) == 0
    assert not list((asked / "shared").glob("*.safetensors")) and (asked / "shared" / "pretrained").is_dir()
    [noted] = json.loads((asked / "purged.json").read_text())
    assert "shared/data.safetensors" in [one["name"] for one in noted["removed"]]


def test_a_folder_of_safetensors_that_are_no_pictures_is_no_leftover(tmp_path, capsys):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "weights.safetensors").write_bytes(b"weights")
    assert purge(tmp_path) == 2 and "no run is there" in capsys.readouterr().err


def test_with_names_the_experiment_beside_a_requests_run_has_none_left(asked):
    assert purge(asked, "--names") == 0
    assert not names_left(asked.parent, [ALICE, BOB])
    assert "target-" in (asked.parent / nearby.EXPERIMENT).read_text()


def test_an_experiment_beside_a_run_of_no_request_is_its_owners_and_stays(asked):
    (asked / answering.BASE).unlink()
    before = (asked.parent / nearby.EXPERIMENT).read_text()
    assert purge(asked, "--names") == 0
    assert (asked.parent / nearby.EXPERIMENT).read_text() == before


def test_a_run_beside_it_of_the_same_target_is_told(run, capsys):
    shutil.copytree(run, run.parent / "other")
    assert purge(run) == 1
    assert f"not reached: {run.parent / 'other'}: another run of the same targets" in capsys.readouterr().out


def test_a_run_beside_it_whose_plan_is_damaged_is_told_too(tmp_path, caplog):
    for name in ("mine", "other"):
        (tmp_path / name / "shared").mkdir(parents=True)
        (tmp_path / name / "shared" / "data.safetensors").write_bytes(b"")
        (tmp_path / name / "experiment.json").write_text("{")
    asked = found.Found(tmp_path / "mine", None, ("a",), True, ())
    assert nearby.neighbours(asked) == [str(tmp_path / "other")] and "may be a run of the same" in caplog.text

"""purge: after it no byte of a target's picture is left where the run put it, nor its name where asked."""

import fcntl
import hashlib
import json
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from planned_run import specs
from secret_pictures import ALICE, BOB, COPY, inside, leaks, names_left, purge

from pipelines.__main__ import main
from unpromptable import data, tracking
from unpromptable.execution.purging import naming
from unpromptable.planning import spec as planned
from unpromptable.reporting import pictures
from unpromptable.reporting.reports import html
from unpromptable.reporting.row import read_rows
from unpromptable.storage import lease


def test_the_search_finds_pictures_raw_and_embedded(run, secrets):
    found_in = leaks(run, secrets.of(ALICE))
    for name in ("data", "before", "after", "surrogates", "report.html", "page.html", "kfp", "mlartifacts"):
        assert any(name in f for f in found_in), name
    png = pictures.png(secrets.forget[BOB])
    assert inside(b"x" + png, secrets.forget[BOB]) and not inside(png, secrets.forget[ALICE])


def test_after_a_purge_no_picture_of_any_target_is_left_and_the_results_are(run, secrets, capsys):
    before = {f.relative_to(run): f.read_bytes() for f in run.rglob("*") if f.is_file()}
    assert purge(run) == 0
    assert not leaks(run, [*secrets.of(ALICE), *secrets.of(BOB)])
    kept = ["rows.json", "groups.json", "report.md", "experiment.json", "figures/tradeoff.png"]
    for spec in specs(run):
        kept += [
            f"{spec.folder}/{n}" for n in ("row.json", "cell.json", "history.jsonl", "metrics/sscd.json")
        ]
        kept += [f"{spec.folder}/unlearned/weights.safetensors", f"{spec.folder}/.unlearned.done"]
        assert not spec.output(run, "score", "row.json", "row").finished()
    for name in kept:
        assert (run / name).read_bytes() == before[Path(name)], name
    gone = [n for n in before if not (run / n).exists()]
    noted = json.loads((run / "purged.json").read_text())[0]
    assert {str(n) for n in gone if not n.name.endswith(".done")} == {
        r["name"] for r in noted["removed"] if not r["name"].endswith(".done")
    }
    for one in noted["removed"]:
        content = before[Path(one["name"])]
        assert (one["size"], one["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    said = capsys.readouterr().out
    assert "removed  shared/data.safetensors" in said and "product" in said
    assert not list(run.rglob(".*safetensors.done")) and not (run / ".report.html.done").exists()
    assert not any(s.output(run, "sample", "after.safetensors", "samples").finished() for s in specs(run))
    assert stat.S_IMODE((run / "purged.json").stat().st_mode) == 0o600


def test_with_a_target_only_what_is_its_own_goes(run, secrets):
    assert purge(run, "--target", ALICE) == 0
    assert not leaks(run, secrets.of(ALICE))
    arrays, manifest = data.load(run / "shared" / "data.safetensors")
    assert manifest["names"] == [BOB, "c", "d", "e"] and manifest["forget_names"] == [BOB]
    assert (arrays["forget"] == secrets.forget[BOB][None]).all() and len(arrays["screened"]) == 0
    assert (arrays["real"] == np.stack([secrets.forget[BOB], *secrets.real])).all()
    ours, both = specs(run)
    for path in (run / "shared" / "before.safetensors", run / both.folder / "after.safetensors"):
        arrays, _ = data.load(path)
        assert set(arrays) == {"samples", f"injected/{BOB}"} and (arrays["samples"] == secrets.seeds).all()
    painted, manifest = data.load(run / both.folder / "surrogates.safetensors")
    assert manifest["targets"] == [BOB] == [d["target"] for d in manifest["distances"]]
    assert (painted["images"] == secrets.surrogates[BOB][None]).all()
    assert not (run / ours.folder / "surrogates.safetensors").exists()
    assert set(data.load(run / ours.folder / "after.safetensors")[0]) == {"samples"}
    assert not (run / "report.html").exists() and (run / both.folder / "row.json").is_file()


def test_with_names_none_is_left_in_rows_tables_logs_folders_and_the_database(run, secrets):
    assert names_left(run, [ALICE, BOB])
    assert purge(run, "--names") == 0
    assert not names_left(run, [ALICE, BOB, COPY])
    again = planned.read(run)
    assert again.shared.targets == tuple(map(naming.digest, (ALICE, BOB)))
    made = read_rows(run / "rows.json")
    assert all(r.done and (run / r.folder / "row.json").is_file() for r in made) and len(made) == 2
    assert {s.target for r in made for s in r.surrogates} == set(again.shared.targets)
    client = tracking.client(str(run))
    found_runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert any(naming.digest(ALICE) in r.data.params.get("forget", "") for r in found_runs)


@pytest.mark.parametrize("words", [(), ("--names",), ("--target", ALICE)])
def test_the_results_of_a_purged_run_still_have_a_page_of_several_runs(run, words, secrets):
    assert purge(run, *words) == 0
    text = html.result(run, planned.read(run).experiment, read_rows(run / "rows.json"), "SUCCEEDED")
    assert "tradeoff" in text or "Pareto" in text
    assert not any(inside(text.encode(), p) for p in secrets.of(ALICE))


def test_without_names_they_stay_in_the_rows(run):
    assert purge(run) == 0
    assert ALICE in (run / "rows.json").read_text()


def test_a_folder_at_work_is_left_alone(run, secrets, capsys, monkeypatch):
    monkeypatch.setattr("pipelines.cli.running.PATIENCE", 0.1)
    with (run / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert purge(run) == 2
    assert "another run is at work there" in capsys.readouterr().err
    with lease.Lease(run / "shared" / "data.safetensors"):
        assert purge(run) == 2
    assert "at work there (shared/.data.safetensors.lease-1, held by process" in capsys.readouterr().err
    assert leaks(run, secrets.of(ALICE))


@pytest.mark.parametrize("answer, gone", [("y", True), ("", False)])
def test_a_person_is_asked_first(run, secrets, monkeypatch, answer, gone):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("rich.console.Console.input", lambda self, words: answer)
    assert main(["purge", str(run)]) == (0 if gone else 1)
    assert bool(leaks(run, secrets.of(ALICE))) != gone


@pytest.mark.parametrize(
    "words, told",
    [
        (["--target", "nobody"], "--target nobody: no target of this run; choose from people/alice b.png"),
        ([], "nobody can be asked here; say --yes"),
    ],
)
def test_bad_words_are_refused_in_one_line_and_remove_nothing(run, secrets, capsys, words, told):
    assert main(["purge", str(run), *words]) == 2
    assert told in capsys.readouterr().err and leaks(run, secrets.of(ALICE))


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert purge(tmp_path) == 2 and "no run is there" in capsys.readouterr().err


def test_a_folder_of_runs_is_purged_with_the_page_of_all(run, secrets):
    page = run.parent / "overview.html"
    page.write_text((run / "report.html").read_text())
    assert purge(run.parent) == 0
    assert not leaks(run.parent, [*secrets.of(ALICE), *secrets.of(BOB)]) and not page.exists()

"""purge: after it no byte of a target's picture is left where the run put it, nor its name where asked."""

import base64
import contextlib
import fcntl
import hashlib
import io
import json
import re
import shutil
import socket
import sqlite3
import stat
import tempfile
from pathlib import Path
from types import SimpleNamespace

import boto3
import fsspec
import mlflow_server
import numpy as np
import pytest
from PIL import Image
from planned_run import specs

from pipelines.__main__ import main
from unpromptable import data, tracking
from unpromptable.execution import report_step
from unpromptable.execution.purging import cut, found, naming
from unpromptable.planning import plan
from unpromptable.planning import spec as planned
from unpromptable.reporting import pictures, rows
from unpromptable.reporting.reports import html
from unpromptable.reporting.row import read_rows
from unpromptable.storage import databases, files, lease

ALICE, BOB, COPY = "people/alice b.png", "people/bob_1.png", "people/alice again.png"
TEXT = f"""name: t
forget: ['{ALICE}', '{BOB}']
report: {{tracked: true}}
cells:
- {{name: 'Ours, {ALICE}', editor: flip, forget: ['{ALICE}']}}
- {{name: Both, editor: flip, method: naive}}
"""
SIZE, SEEDS, DRAWS = 16, 8, 4


class Secrets:
    """Patterns that occur nowhere else, by whose they are."""

    def __init__(self):
        draw = np.random.default_rng(7)
        one = lambda *n: draw.integers(0, 256, (*n, SIZE, SIZE, 3), dtype=np.uint8)
        self.forget = {ALICE: one(), BOB: one()}
        self.copy = self.forget[ALICE].copy()
        self.copy[0] ^= 3
        self.seeds, self.real = one(SEEDS), one(3)
        self.draws = {t: one(2, DRAWS) for t in (ALICE, BOB)}
        self.surrogates = {t: one() for t in (ALICE, BOB)}

    def of(self, target):
        """Every picture that shows a target."""
        near = [self.copy] if target == ALICE else []
        return [
            self.forget[target],
            *near,
            *self.draws[target].reshape(-1, SIZE, SIZE, 3),
            self.surrogates[target],
        ]


@pytest.fixture
def secrets():
    return Secrets()


def plan_run(where):
    """A planned sweep with its MLflow runs; experiment.json as `plan` leaves it."""
    run = plan.resolve(TEXT, inputs=False).run()
    told = lambda s: tracking.Tracked(s.slug, s.name, s.keys["unlearned"], rows.flat(run.experiment, s))
    ids = tracking.open_runs(str(where), tracking.Sweep("t", "sweep", tuple(map(told, run.cells))))
    files.write_text(where / "experiment.json", run.with_runs(ids).to_text())


def keep(path, arrays, manifest, key="k"):
    data.save(path, arrays, manifest)
    files.finish(path, key)


def fill(where, secrets):
    """What the steps leave: artifacts, shards, surrogates, models, rows, pages, reports, outputs of kfp."""
    names = [ALICE, COPY, BOB, "c", "d", "e"]
    real = np.stack([secrets.forget[ALICE], secrets.copy, secrets.forget[BOB], *secrets.real])
    told = {
        "names": names,
        "removed": names[:3],
        "forget_names": [ALICE, BOB],
        "copies": {COPY: 0.99},
        "said": {},
    }
    forget = np.stack([secrets.forget[t] for t in (ALICE, BOB)])
    shared = where / "shared"
    keep(shared / "data.safetensors", {"real": real, "forget": forget, "screened": secrets.copy[None]}, told)
    injected = lambda side, targets: {f"injected/{t}": secrets.draws[t][side] for t in targets}
    drawn = lambda side, targets: {"samples": secrets.seeds, **injected(side, targets)}
    seeds = {"seeds": list(range(SEEDS)), "seconds": 1.0}
    for name in ("before.safetensors", "samples-0000-of-1.safetensors"):
        keep(shared / name, drawn(0, (ALICE, BOB)), seeds)
    model(shared / "pretrained")
    files.finish(shared / "pretrained", "k")
    for spec in specs(where):
        fill_cell(where, spec, secrets, drawn, seeds)
    (where / "kfp" / "score").mkdir(parents=True, exist_ok=True)
    files.write_text(where / "log.txt", f"denoising {ALICE}\n/home/{BOB}\n")
    files.write_text(where / "progress.jsonl", json.dumps({"text": f"denoising {ALICE}"}) + "\n")
    report_step.report(str(where), TEXT, "SUCCEEDED", str(where / "kfp" / "score" / "page"))


def fill_cell(where, spec, secrets, drawn, seeds):
    folder = where / spec.folder
    for name in ("after.safetensors", "samples-0000-of-1.safetensors"):
        keep(folder / name, drawn(1, spec.targets), seeds)
    distances = [
        {"target": t, "sscd": 0.1, "lpips": 0.5, "rms": 40.0, "changed": 0.4, "closer": 0.1}
        for t in spec.targets
    ]
    distances = [{**d, "verdict": "fine", "note": ""} for d in distances]
    painted = {"images": np.stack([secrets.surrogates[t] for t in spec.targets])}
    manifest = {"targets": list(spec.targets), "distances": distances}
    for path in (
        folder / "surrogates.safetensors",
        where / "shared" / f"surrogates-{spec.slug[:3]}.safetensors",
    ):
        keep(path, painted, manifest)
    files.write_text(
        folder / "history.jsonl", json.dumps({"step": 1, "target": spec.targets[0], "forget": 1.0}) + "\n"
    )
    files.write_text(folder / "cell.json", spec.to_text())
    model(folder / "unlearned")
    files.finish(folder / "unlearned", spec.keys["unlearned"])
    value = {"mean": 0.2, "low": 0.1, "high": 0.3, "n": 12}
    names = ("sscd", "lpips", "ssim", "fid_pre", "fid_real", "sscd_ceiling")
    files.write_text(folder / "metrics" / "sscd.json", json.dumps({"sscd": value}))
    row = {
        **rows.head(planned.read(where).experiment, spec),
        "status": "done",
        "error": None,
        "labels": {"sscd": "a", "lpips": "b", "fid": "c"},
        "surrogates": distances,
        "seconds": {"unlearn": 1.0},
        "inputs": {},
        **dict.fromkeys(names, value),
    }
    output = spec.output(where, "score", "row.json", "row")
    files.write_text(output.path, json.dumps(row))
    files.finish(output.path, output.key)
    found_row = rows.of(planned.read(where).experiment, spec, str(where))
    report_step.page(planned.read(where).experiment, found_row, str(where), "k")


def model(folder):
    """Weights, which hold no pictures and stay."""
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights" * 10)
    (folder / "training.json").write_text("{}")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run of two cells with a database of its own."""
    where = tmp_path_factory.mktemp("made") / "run"
    where.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        plan_run(where)
        fill(where, Secrets())
    return where


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """A copy of it for every test."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Path(shutil.copytree(made, tmp_path / "run"))


def leaks(where, shown):
    """The files below a folder in which any of the pictures is, raw or as a PNG of any factor."""
    return [str(f) for f in where.rglob("*") if f.is_file() and any(inside(f.read_bytes(), p) for p in shown)]


def inside(content, picture):
    raw = picture.tobytes()
    if any(raw[k : k + 64] in content for k in range(0, len(raw), 64)):
        return True
    embedded = [base64.b64decode(e) for e in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content)]
    plain = [content[m.start() :] for m in re.finditer(re.escape(b"\x89PNG\r\n"), content)]
    return any(picture_in(one, picture) for one in embedded + plain)


def picture_in(png, picture):
    with contextlib.suppress(OSError):  # what only begins as a PNG
        image = Image.open(io.BytesIO(png)).convert("RGB")
        if image.size[0] % SIZE == 0 and image.size[0] == image.size[1]:
            small = np.asarray(image)[:: image.size[0] // SIZE, :: image.size[0] // SIZE]
            return np.abs(small.astype(int) - picture).mean() < 20
    return False


def purge(where, *words):
    return main(["purge", str(where), "--yes", *words])


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


def names_left(where, names):
    """Files in whose content or path a name is, in any of the ways in which one is written."""
    said = {w for n in names for w in (n, n.split("/")[-1], json.dumps(n)[1:-1], n.replace("_", r"\_"))}
    said |= {"people-alice-b-png", "people-bob-1-png", "alice%20b"}
    words = [w.encode() for w in said]
    files_in = [f for f in where.rglob("*") if f.is_file()]
    return [str(f) for f in files_in if any(w in f.read_bytes() or w in str(f).encode() for w in words)]


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


def test_a_store_at_an_address_its_mirror_and_its_bucket_hold_nothing_afterwards(
    s3, secrets, monkeypatch, tmp_path, capsys
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    where = Path(files.mirror("s3://bucket/run"))
    plan_run(where)
    fill(where, secrets)
    for one in [f for f in where.rglob("*") if f.is_file() and f.name not in (files.REMOTE, "mlflow.db")]:
        files.publish(one)
    (where / "rows.json").unlink()  # this machine has not fetched it
    system = fsspec.filesystem("s3")
    system.rm("bucket/run/log.txt")
    (where / "log.txt").unlink()
    assert purge("s3://bucket/run", "--names") == 1
    assert "not reached: pages of a run on a cluster: Kubeflow keeps" in capsys.readouterr().out
    system.invalidate_cache()
    system.get("bucket/run", str(tmp_path / "bucket"), recursive=True)
    assert (tmp_path / "bucket" / "rows.json").is_file() and (tmp_path / "bucket" / "purged.json").is_file()
    for folder in (where, tmp_path / "bucket"):
        assert not leaks(folder, [*secrets.of(ALICE), *secrets.of(BOB)])
        assert not names_left(folder, [ALICE, BOB])


def test_a_bucket_that_keeps_versions_is_told(s3, secrets, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    where = Path(files.mirror("s3://bucket/run"))
    plan_run(where)
    given = {"Bucket": "bucket", "VersioningConfiguration": {"Status": "Enabled"}}
    boto3.client("s3").put_bucket_versioning(**given)
    assert purge("s3://bucket/run") == 1
    assert "not reached: earlier versions in s3://bucket/run" in capsys.readouterr().out


def test_artifacts_on_a_server_that_is_away_are_told(run, monkeypatch, capsys, secrets):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert purge(run) == 1
    assert "not reached: artifacts on http://127.0.0.1:9" in capsys.readouterr().out
    missed = json.loads((run / "purged.json").read_text())[0]["not_reached"]
    assert [m["what"] for m in missed] == ["artifacts on http://127.0.0.1:9"]
    assert not leaks(run, [*secrets.of(ALICE), *secrets.of(BOB)])


def test_a_run_tracked_on_a_server_that_is_not_named_is_told(run, capsys):
    (run / "mlflow.db").unlink()
    assert purge(run) == 1
    assert "not reached: artifacts on a tracking server: no server is named" in capsys.readouterr().out


@pytest.mark.slow
def test_a_server_keeps_neither_pictures_nor_names_but_in_parameters_which_are_told(
    tmp_path, monkeypatch, secrets, capsys
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    server = mlflow_server.start(tmp_path, port)
    try:
        where = tmp_path / "run"
        where.mkdir()
        plan_run(where)
        fill(where, secrets)
        shown = [*secrets.of(ALICE), *secrets.of(BOB)]
        assert leaks(tmp_path / "files", shown) and names_left(tmp_path / "files", [ALICE])
        assert purge(where, "--names") == 1
        assert not leaks(tmp_path / "files", shown) and not names_left(tmp_path / "files", [ALICE, BOB])
        missed = json.loads((where / "purged.json").read_text())[0]["not_reached"]
        assert missed and all("parameter forget" in m["what"] or "source of" in m["what"] for m in missed)
        gone = [h["name"] for h in json.loads((where / "purged.json").read_text())[0]["removed"]]
        assert gone.count("report.html") == 2  # in the folder, and on the server
        client = tracking.client(str(where))
        found_runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
        tags = [v for r in found_runs for v in r.data.tags.values()]
        assert found_runs and not any("alice" in v for v in tags)
    finally:
        server.terminate(), server.wait()


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


def test_a_run_beside_it_of_the_same_target_is_told(run, capsys):
    shutil.copytree(run, run.parent / "other")
    assert purge(run) == 1
    assert f"not reached: {run.parent / 'other'}: another run of the same targets" in capsys.readouterr().out


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


def test_a_run_beside_it_whose_plan_is_damaged_is_told_too(tmp_path, caplog):
    for name in ("mine", "other"):
        (tmp_path / name / "shared").mkdir(parents=True)
        (tmp_path / name / "shared" / "data.safetensors").write_bytes(b"")
        (tmp_path / name / "experiment.json").write_text("{")
    asked = found.Found(tmp_path / "mine", None, ("a",), True, ())
    assert found.neighbours(asked) == [str(tmp_path / "other")] and "may be a run of the same" in caplog.text

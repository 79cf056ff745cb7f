"""The chart's MLflow server, from its rendered command, settings and a real PostgreSQL: accounts, https,
refusals, a crash in the middle of a sweep.
"""

import base64
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from chart_server import ADMIN, STEPS, database, free_port, server  # noqa: F401  (database, server: fixtures)
from helm_chart import HELM

from unpromptable import tracking
from unpromptable.execution import probe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (HELM and shutil.which("initdb")), reason="needs helm and PostgreSQL's programs"),
]
SWEEP = """
name: small
forget: ["0007-3"]
sampling: {steps: 2, images: 12, shards: 2}
injection: {t: 3, draws: 2}
base: {training: {steps: 40}, editor: flip}
cells: [{name: Ours}, {name: NegGrad, method: neggrad}, {name: Naive, method: naive}]
"""


@pytest.fixture
def known(server, monkeypatch):
    """The environment that the chart's ConfigMap and Secret give a step."""
    for name, value in (
        ("URI", server.address),
        ("CA", server.certificate),
        ("USERNAME", STEPS["username"]),
        ("PASSWORD", STEPS["password"]),
    ):
        monkeypatch.setenv(f"UNPROMPTABLE_TRACKING_{name}", value)
        monkeypatch.setenv(f"MLFLOW_TRACKING_{'SERVER_CERT_PATH' if name == 'CA' else name}", "")
    return server


def said(server):
    return next(f for f in probe.findings("/tmp") if f.check == "MLflow")


def test_the_probe_tells_a_healthy_server_from_a_refused_password_a_refused_host_and_silence(
    known, monkeypatch
):
    assert said(known).ok
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    assert "answers 401" in said(known).text and "tracking_secret" in said(known).remedy
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", STEPS["password"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", known.address.replace("127.0.0.1", "127.0.0.2"))
    assert "IP address mismatch" in said(known).text and "mlflow.tls.ca" in said(known).remedy
    monkeypatch.setenv("MLFLOW_TRACKING_URI", known.address)
    real = urllib.request.Request
    elsewhere = {"Host": "elsewhere:5000"}
    monkeypatch.setattr(
        urllib.request, "Request", lambda *a, headers, **b: real(*a, headers={**headers, **elsewhere}, **b)
    )
    assert "answers 403" in said(known).text and "mlflow.allowedHosts" in said(known).remedy
    monkeypatch.setattr(urllib.request, "Request", real)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert "does not answer" in said(known).text


def test_a_server_that_nobody_known_has_signed_is_not_trusted(known, monkeypatch):
    monkeypatch.delenv("UNPROMPTABLE_TRACKING_CA")
    monkeypatch.delenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
    assert not said(known).ok and "certificate verify failed" in said(known).text


def asked(server, account, path, verb="GET", **body):
    """The status and answer of a request under an account."""
    token = base64.b64encode(f"{account['username']}:{account['password']}".encode()).decode()
    request = urllib.request.Request(
        f"{server.address}/api/2.0/mlflow/{path}",
        json.dumps(body).encode() if body else None,
        {"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        method=verb,
    )
    try:
        with urllib.request.urlopen(request, timeout=20, context=server.trust) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, {}


def test_the_steps_account_writes_its_own_experiments_reads_those_of_others_and_administers_nothing(server):
    home = asked(server, ADMIN, "experiments/create", "POST", name="of others")[1]["experiment_id"]
    assert asked(server, STEPS, f"experiments/get?experiment_id={home}")[0] == 200
    assert asked(server, STEPS, "runs/create", "POST", experiment_id=home)[0] == 403
    assert asked(server, STEPS, "users/create", "POST", username="x", password="y" * 12)[0] == 403
    assert asked(server, STEPS, "users/update-admin", "PATCH", username="steps", is_admin=True)[0] == 403
    own = asked(server, STEPS, "experiments/create", "POST", name="own")[1]["experiment_id"]
    assert asked(server, STEPS, "runs/create", "POST", experiment_id=own)[0] == 200
    done = server.account(EXPERIMENTS='["of others"]')
    assert done.returncode == 0 and "experiment of others: steps may go on with it" in done.stdout
    assert asked(server, STEPS, "runs/create", "POST", experiment_id=home)[0] == 200


def test_the_job_of_the_account_runs_again_takes_a_new_password_and_refuses_an_administrators(server):
    assert "there already" in server.account().stdout
    other = {"username": "steps", "password": "another word for them"}
    assert server.account(PASSWORD=other["password"]).returncode == 0
    path = "experiments/search?max_results=1"
    assert asked(server, other, path)[0] == 200 and asked(server, STEPS, path)[0] == 401
    assert server.account().returncode == 0 and asked(server, STEPS, path)[0] == 200
    for changed, told in (
        ({"USERNAME": "admin"}, "account admin is an administrator's"),
        ({"ADMIN_PASSWORD": "wrong"}, "account steps: MLflow answers 401"),
        ({"USERNAME": "third", "PASSWORD": "short"}, "at least 12 characters"),
        ({"EXPERIMENTS": '["none such"]'}, "experiment none such: MLflow answers 404"),
        ({"MLFLOW": f"https://127.0.0.1:{free_port()}", "PATIENCE": "0"}, "is not ready: no answer"),
    ):
        done = server.account(**changed)
        assert done.returncode == 1 and told in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_server_killed_in_the_middle_of_a_sweep_has_every_run_and_point_in_the_end(known, tmp_path):
    (tmp_path / "small.yaml").write_text(SWEEP)
    sweep = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pipelines",
            "local",
            str(tmp_path / "small.yaml"),
            "--out",
            str(tmp_path / "run"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    await_event(tmp_path, sweep, "unlearn", "progress")
    known.kill()
    await_event(tmp_path, sweep, "score", "start")
    known.start()
    output = sweep.communicate(timeout=400)[0]
    assert sweep.returncode == 0, output
    client = tracking.client(str(tmp_path / "run"))
    experiment = client.get_experiment_by_name("small")
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    assert len(runs) == 4 and {r.info.status for r in runs.values()} == {"FINISHED"}
    assert {r.data.tags.get("mlflow.parentRunId") for n, r in runs.items() if n != "small"} == {
        runs["small"].info.run_id
    }
    for row in json.loads((tmp_path / "run" / "rows.json").read_text()):
        steps = [
            json.loads(line)["step"]
            for line in (tmp_path / "run" / row["folder"] / "history.jsonl").read_text().splitlines()
        ]
        points = client.get_metric_history(
            runs[row["name"]].info.run_id, "train/remember" if row["name"] != "NegGrad" else "train/forget"
        )
        assert sorted(p.step for p in points) == steps, row["name"]
        assert runs[row["name"]].data.metrics["sscd"] == pytest.approx(row["sscd"]["mean"])


def await_event(folder, process, step, kind):
    """Wait until the sweep says that a cell's step is there."""
    path = folder / "run" / "progress.jsonl"
    for _ in range(3000):
        events = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
        if any(e["cell"] and e["step"] == step and e["kind"] == kind for e in events):
            return
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    raise TimeoutError(f"no {kind} of {step}")

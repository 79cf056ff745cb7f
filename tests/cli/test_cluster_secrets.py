"""Secrets planted where a cluster's commands and steps read them reach nothing but whom they are for."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import cluster_server
import pytest
from small_run import TEXT

from pipelines.__main__ import main
from unpromptable.execution import plan_step, prepare_step, probe, report_step, sample_step, unlearn_step

BEARER, KUBE = "planted-bearer", "planted-kubeconfig"
SECRETS = {
    "HF_TOKEN": "hf_plantedtoken",
    "AWS_ACCESS_KEY_ID": "planted-key",
    "AWS_SECRET_ACCESS_KEY": "planted-s3-word",
    "AWS_SESSION_TOKEN": "planted-session",
    "MLFLOW_TRACKING_URI": "http://me:planted-address@127.0.0.1:9",
    "MLFLOW_TRACKING_USERNAME": "planted-user",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-word",
    "UNPROMPTABLE_TRACKING_URI": "http://me:planted-pod@127.0.0.1:9",
    "UNPROMPTABLE_TRACKING_USERNAME": "planted-pod-user",
    "UNPROMPTABLE_TRACKING_PASSWORD": "planted-pod-word",
    "KFP_TOKEN": BEARER,
}


class Cluster(cluster_server.Cluster):
    """Keeps every request whole: headers, path with its query, and body, of trials too."""

    def __init__(self):
        self.whole = []
        super().__init__()

    def answer(self, request, verb, body):
        self.whole.append((dict(request.headers), f"{verb} {request.path} {json.dumps(body)}"))
        super().answer(request, verb, body)


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A cluster, a kubeconfig with a token, a home and a folder of temporary files; all else in them is
    written by the commands.
    """
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    home, server = tmp_path / "home", Cluster()
    for folder in (home, home / "tmp"):
        folder.mkdir()
    config = cluster_server.kubeconfig(tmp_path / "config", server.address)
    config.write_text(config.read_text().replace('"token": "t"', f'"token": "{KUBE}"'))
    for name, value in (("KUBECONFIG", config), ("HOME", home), ("TMPDIR", home / "tmp")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(home)
    yield server
    server.server.shutdown()


def told_by(capsys, caplog):
    out = capsys.readouterr()
    return out.out + out.err + caplog.text


def written(folder):
    """The files in which a secret is, by content or name."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    return [p for p in files if b"planted" in p.read_bytes() or "planted" in str(p)]


COMMANDS = [
    ("doctor", "demo"),
    ("submit", "demo"),
    ("submit", "demo", "--no-wait", "--no-doctor"),
    ("submit", "demo", "--store", "s3://bucket/{name}", "--token", BEARER),
]


@pytest.mark.parametrize("kfp_status", [200, 401, 500])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_clusters_commands_hand_each_token_to_its_own_server_alone(
    planted, capsys, caplog, tmp_path, words, kfp_status
):
    caplog.set_level("DEBUG")
    planted.kfp_status = kfp_status
    code = main([*words, "--endpoint", planted.address])
    text = told_by(capsys, caplog)
    assert code == 0 or kfp_status != 200, text
    assert "planted" not in text and not written(tmp_path / "home")
    kinds = set()
    for sent, rest in planted.whole:
        headers = {name.title(): value for name, value in sent.items()}
        of_kubeflow = "/apis/v2beta1/" in rest.split(" ")[1]
        assert headers.pop("Authorization") == f"Bearer {BEARER if of_kubeflow else KUBE}"
        assert "planted" not in json.dumps(headers) + rest
        kinds.add(of_kubeflow)
    assert True in kinds


class Elsewhere:
    """A server that is led to, and notes what it is handed."""

    def __init__(self):
        self.seen, seen = [], []
        self.seen = seen

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words):
                pass

            def do_GET(self):
                seen.append(self.headers.get("Authorization"))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_POST = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def leads(address):
    """A server that leads on to another, as a login page's does."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words):
            pass

        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", address)
            self.end_headers()

        do_POST = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.parametrize("asked", ["Kubeflow Pipelines", "MLflow"])
def test_an_answer_that_leads_elsewhere_takes_no_secret_along(planted, asked):
    from pipelines.backend import kubeflow

    other = Elsewhere()
    first = leads(f"{other.address}/login")
    where = f"http://127.0.0.1:{first.server_port}"
    if asked == "MLflow":
        probe._tracking(where)
    else:
        kubeflow.answers(where, BEARER)
    assert other.seen == [None]
    for server in (first, other.server):
        server.shutdown(), server.server_close()


ADDRESSES = [
    "http://me:planted@127.0.0.1:9",
    "http://planted@127.0.0.1:9",
    "http://me:pla%40planted@127.0.0.1:9",
    "http://me:p@planted@127.0.0.1:9",
    "http://me:planted/planted@127.0.0.1:9",
    "http://me:planted@127.0.0.1:port",
    "postgresql://me:planted@127.0.0.1:port/mlflow",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_doctors_pod_shows_no_account_of_mlflows_address(planted, monkeypatch, capsys, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    probe.main([str(os.environ["HOME"])])
    out = capsys.readouterr()
    found = [SimpleNamespace(**json.loads(line)) for line in out.out.splitlines()]
    (mlflow,) = [f for f in found if f.check == "MLflow"]
    assert not mlflow.ok and "planted" not in out.out + out.err and "//***@" in mlflow.text


def test_the_account_in_mlflows_address_is_the_one_that_the_pod_asks_with(planted, monkeypatch):
    other = Elsewhere()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other.address.replace("//", "//ada:p%40w@"))
    assert probe._tracking(os.environ["MLFLOW_TRACKING_URI"]).ok
    assert other.seen == ["Basic YWRhOnBAdw=="]  # ada:p@w
    other.server.shutdown(), other.server.server_close()


@pytest.mark.slow
def test_the_steps_of_a_run_in_an_object_store_write_no_secret(
    s3, planted, monkeypatch, tmp_path, capsys, caplog
):
    import fsspec

    caplog.set_level("DEBUG", "unpromptable")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SECRETS[name])
    cells = plan_step.plan(TEXT, "", {}, s3)
    sample_step.sample(prepare_step.prepare(TEXT, s3), s3, 0, 1)
    unlearn_step.unlearn(cells[0], s3, str(tmp_path / "home" / "handed"))
    report_step.report(s3, TEXT, "SUCCEEDED", str(tmp_path / "home" / "page.html"))
    text = told_by(capsys, caplog)
    assert "cannot be used" in text and "planted" not in text
    system = fsspec.filesystem("s3")
    system.invalidate_cache()
    system.get("bucket", str(tmp_path / "bucket"), recursive=True)
    kept = [p for p in (tmp_path / "bucket").rglob("*") if p.is_file()]
    assert len(kept) > 15 and not written(tmp_path / "bucket") and not written(tmp_path / "home")

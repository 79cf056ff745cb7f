"""What a pod on trial says of its store and of MLflow, healthy or not."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from unpromptable.execution import probe
from unpromptable.storage import files


@pytest.fixture
def mlflow(monkeypatch):
    """A server that answers what the test puts into `reply`, named as the chart's ConfigMap and Secret do."""

    class Handler(BaseHTTPRequestHandler):
        reply, seen = (200, "{}"), []

        def log_message(self, *words):
            pass

        def do_POST(self):
            Handler.seen.append(self.headers.get("Authorization"))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(Handler.reply[0])
            self.end_headers()
            self.wfile.write(Handler.reply[1].encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in (
        ("URI", f"http://127.0.0.1:{server.server_port}"),
        ("USERNAME", "ada"),
        ("PASSWORD", "pw"),
    ):
        monkeypatch.setenv(f"UNPROMPTABLE_TRACKING_{name}", value)
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
    yield Handler
    server.shutdown()
    server.server_close()


def said(check="MLflow", where="/tmp"):
    return next(f for f in probe.findings(where) if f.check == check)


@pytest.mark.parametrize(
    "reply, found, remedy",
    [
        (
            (403, "Invalid Host header - possible DNS rebinding attack detected"),
            "answers 403: Invalid Host header",
            "mlflow.allowedHosts",
        ),
        ((403, "Permission denied"), "answers 403: Permission denied", "tracking_secret"),
        ((401, "You are not authenticated"), "answers 401", "tracking_secret"),
        ((500, "database"), "answers 500: database", "server's log"),
        ((200, "<html>"), "does not answer", "kubectl get pods"),
    ],
)
def test_each_way_mlflow_refuses_has_its_remedy(mlflow, reply, found, remedy):
    mlflow.reply = reply
    finding = said()
    assert not finding.ok and found in finding.text and remedy in finding.remedy


def test_a_healthy_mlflow_is_asked_with_the_account_of_the_secret(mlflow):
    assert said().ok and mlflow.seen[-1] == "Basic YWRhOnB3"


def test_an_mlflow_that_is_away_or_not_named_is_said(mlflow, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "does not answer" in said().text and "NetworkPolicy" in said().remedy
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ""), monkeypatch.setenv("UNPROMPTABLE_TRACKING_URI", "")
    assert "no tracking server is named" in said().text and "ConfigMap" in said().remedy


def test_a_store_is_written_to_and_one_that_cannot_be_is_said(mlflow, tmp_path):
    assert said("store", str(tmp_path / "{name}")).ok and list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    finding = said("store", f"{tmp_path}/file/{{name}}")
    assert not finding.ok and "FileExistsError" in finding.text and "mode 644" in finding.text
    assert not said("store", "nowhere://bucket/{name}").ok


def test_strict_ends_with_an_error_when_a_check_fails(mlflow, tmp_path, capsys):
    assert probe.main(["--strict", str(tmp_path)]) == 0
    mlflow.reply = (500, "")
    assert probe.main(["--strict", str(tmp_path)]) == 1 and probe.main([str(tmp_path)]) == 0
    assert {"check", "ok", "text", "remedy"} == set(json.loads(capsys.readouterr().out.splitlines()[0]))


def test_a_volume_of_another_group_is_said_with_its_owner_and_the_way_to_give_it(
    mlflow, tmp_path, monkeypatch
):
    def refused(path, text):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "write_text", refused)
    tmp_path.chmod(0o755)
    finding = said("store", str(tmp_path / "demo"))
    whose = tmp_path.stat()
    assert (
        not finding.ok
        and f"{tmp_path} is of {whose.st_uid}:{whose.st_gid}, mode 755, and this pod is {os.getuid()}:"
        in finding.text
    )
    assert (
        "`helm test` gives a new volume" in finding.remedy
        and f"chown -R {os.getuid()}:{os.getgid()} {tmp_path}" in finding.remedy
    )
    assert "compile without --no-volume" in said("store", "/no-such-folder/demo").remedy


def test_a_pod_that_asked_for_a_gpu_and_sees_none_is_said(mlflow):
    import torch

    seen = torch.cuda.device_count()
    finding = next(f for f in probe.findings("/tmp", seen + 1) if f.check == "GPU in the pod")
    assert not finding.ok and f"{seen + 1} asked for" in finding.text and "gpu image" in finding.remedy
    assert said("GPU in the pod").ok

"""The chart's MLflow server as a process of this machine, with a real PostgreSQL, https and its accounts."""

import os
import pwd
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from helm_chart import render

ADMIN = {"username": "admin", "password": "correct horse battery", "session-key": "s" * 32}
STEPS = {"username": "steps", "password": "a word for the steps"}
DATABASE = {"username": "mlflow", "password": "for the database"}
SECRETS = {"unpromptable-mlflow-admin": ADMIN, "unpromptable-mlflow": STEPS, "database": DATABASE}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def database():
    """A PostgreSQL with the two databases and one account, as the README asks for; its port."""
    account = (
        {}
        if os.geteuid()
        else {"user": pwd.getpwnam("nobody").pw_uid, "group": pwd.getpwnam("nobody").pw_gid}
    )
    home, port = f"/tmp/unpromptable-postgres-{os.getpid()}", str(free_port())
    os.mkdir(home, 0o700)
    call = {
        "check": True,
        "capture_output": True,
        "cwd": "/tmp",
        "env": {**os.environ, "HOME": home, "PGPASSWORD": DATABASE["password"], "LC_ALL": "C.UTF-8"},
        **account,
    }
    try:
        (Path(home) / "password").write_text(DATABASE["password"])
        if account:
            subprocess.run(["chown", "-R", "nobody", home], check=True)
        subprocess.run(
            [
                "initdb",
                "-D",
                f"{home}/data",
                "-U",
                DATABASE["username"],
                "--pwfile",
                f"{home}/password",
                "--auth=scram-sha-256",
            ],
            **call,
        )
        subprocess.run(
            [
                "pg_ctl",
                "-D",
                f"{home}/data",
                "-w",
                "-l",
                f"{home}/log",
                "-o",
                f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''",
                "start",
            ],
            **call,
        )
        for name in ("mlflow", "mlflow_auth"):
            subprocess.run(
                ["createdb", "-h", "127.0.0.1", "-p", port, "-U", DATABASE["username"], name], **call
            )
        yield port
    finally:
        subprocess.run(["pg_ctl", "-D", f"{home}/data", "-m", "fast", "stop"], **{**call, "check": False})
        shutil.rmtree(home)


def signed(folder):
    """A certificate of 127.0.0.1 that signs itself, in the files of the Secret: its text."""
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=mlflow -addext subjectAltName=IP:127.0.0.1"
    files = ["-out", str(folder / "tls.crt"), "-keyout", str(folder / "tls.key")]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)
    return (folder / "tls.crt").read_text()


def environment(container):
    """What a container finds in its environment, with the Secrets' values."""
    value = lambda one: SECRETS[one["name"]][one["key"]]
    return {
        e["name"]: e["value"] if "value" in e else value(e["valueFrom"]["secretKeyRef"])
        for e in container["env"]
    }


class Server:
    """The Deployment's container as a process of this machine: its command, its environment, its files."""

    def __init__(self, database, folder):
        self.port = free_port()
        values = {
            "mlflow.port": self.port,
            "mlflow.database.external": "true",
            "mlflow.database.host": "127.0.0.1",
            "mlflow.database.port": database,
            "mlflow.database.existingSecret": "database",
            "mlflow.database.sslMode": "disable",
            "mlflow.tls.enabled": "true",
            "mlflow.tls.existingSecret": "certificate",
            "mlflow.allowedHosts": f"{{127.0.0.1:{self.port}}}",
        }
        self.certificate = signed(folder)
        words = (word for k, v in values.items() for word in ("--set", f"{k}={v}"))
        objects = render(*words, "--set-file", f"mlflow.tls.ca={folder / 'tls.crt'}")
        inside = {
            o["kind"]: o["spec"]["template"]["spec"] for o in objects if "template" in o.get("spec", {})
        }
        container, self.account_job = (inside[kind]["containers"][0] for kind in ("Deployment", "Job"))
        accounts = next(o for o in objects if o["kind"] == "ConfigMap" and "auth.ini" in o["data"])
        (folder / "auth.ini").write_text(accounts["data"]["auth.ini"])
        told = environment(container)
        self.environment = {
            **os.environ,
            **told,
            "HOME": str(folder),
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        }
        self.words = [
            sys.executable,
            "-m",
            *container["command"],
            *(
                a.replace("/data/artifacts", str(folder / "artifacts")).replace(
                    "/etc/mlflow-tls", str(folder)
                )
                for a in container["args"]
            ),
        ]
        self.trust = ssl.create_default_context(cadata=self.certificate)
        self.folder, self.address, self.process = folder, f"https://127.0.0.1:{self.port}", None

    def start(self):
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                self.words,
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(240):
            try:
                return urllib.request.urlopen(f"{self.address}/health", timeout=1, context=self.trust).close()
            except (urllib.error.URLError, OSError):
                assert self.process.poll() is None, (self.folder / "server.log").read_text()[-3000:]
                time.sleep(0.5)
        raise TimeoutError((self.folder / "server.log").read_text()[-3000:])

    def account(self, **other):
        """Run the job that gives the steps their account, with some of its environment changed."""
        _, *words = self.account_job["command"]
        told = {**environment(self.account_job), "MLFLOW": self.address, "PATIENCE": "5", **other}
        return subprocess.run([sys.executable, *words], env=told, capture_output=True, text=True)

    def kill(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, 9)
            self.process.wait()


@pytest.fixture(scope="module")
def server(database, tmp_path_factory):
    one = Server(database, tmp_path_factory.mktemp("server"))
    one.start()
    assert one.account().returncode == 0
    yield one
    one.kill()

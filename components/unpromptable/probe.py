"""What `doctor` runs in a pod, with the image, volume, ConfigMap and Secrets of the steps: one line of JSON per check.

`python -m unpromptable.probe STORE` exits 0 whatever it finds, since the lines say it; with --strict, 1 when something is wrong.
"""
from __future__ import annotations

import json
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Finding(NamedTuple):
    """One check: ok, or what was found and what to do."""

    check: str
    ok: bool
    text: str
    remedy: str = ""


def main(words: list[str]) -> int:
    """Print every finding."""
    strict, store = "--strict" in words, words[-1]
    passed = True
    for finding in findings(store):
        print(json.dumps(finding._asdict()), flush=True)
        passed = passed and finding.ok
    return 1 if strict and not passed else 0


def findings(store: str) -> Iterator[Finding]:
    """The package, the store, the tracking server, scratch space and GPUs, as seen from here."""
    from importlib.metadata import version

    from . import tracking

    yield Finding("package in the image", True, f"unpromptable {version('unpromptable')}")
    yield _scratch()
    yield _store(store)
    yield _tracking(tracking.server())
    yield _gpus()


def _scratch() -> Finding:
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
        return Finding("scratch space", True, tempfile.gettempdir())
    except OSError as error:
        return Finding("scratch space", False, str(error), "mount an emptyDir at /tmp; the root file system may be read-only")


def _store(where: str) -> Finding:
    from . import store

    name = f".probe-{uuid.uuid4().hex}"
    try:
        path = Path(store.mirror(where.replace("/{name}", ""))) / name
        store.write_text(path, "x")
        store.remove(path)
        return Finding("store", True, f"{where} can be written")
    except Exception as error:  # noqa: BLE001 - object stores raise errors of many libraries, and this line must be printed
        return Finding("store", False, f"{where}: {type(error).__name__}: {error}", "a volume must be writable by group 65532 (`helm test` gives it a new one); of an object store check the address and the keys in its Secret")


def _tracking(uri: str) -> Finding:
    import base64
    import urllib.error
    import urllib.request

    if not uri:
        return Finding("MLflow", False, "no tracking server is named in the pod", "put MLFLOW_TRACKING_URI into the ConfigMap that the parameter `config` names (the chart makes one)")
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME", ""), os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    request = urllib.request.Request(f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search", data=b'{"max_results": 1}', headers={"Content-Type": "application/json"}, method="POST")
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            json.load(answer)
        return Finding("MLflow", True, f"{uri} answers")
    except urllib.error.HTTPError as error:
        body = error.read(300).decode(errors="replace").strip()
        return Finding("MLflow", False, f"{uri} answers {error.code}: {body}", _remedy(error.code, body))
    except (OSError, ValueError) as error:
        return Finding("MLflow", False, f"{uri} does not answer: {error}", "check that the server runs (kubectl get pods) and that a NetworkPolicy lets these pods reach it")


def _remedy(code: int, body: str) -> str:
    if code == 403 and "host" in body.lower():
        return "the server refuses the Host header: add the Service's name, with and without port, to its --allowed-hosts (chart: mlflow.allowedHosts)"
    if code in (401, 403):
        return "put username and password of an MLflow account into the Secret that the parameter `tracking_secret` names"
    return "see the server's log"


def _gpus() -> Finding:
    import torch

    number = torch.cuda.device_count()
    return Finding("GPU in the pod", True, ", ".join(torch.cuda.get_device_name(i) for i in range(number)) or "none asked for or none seen")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

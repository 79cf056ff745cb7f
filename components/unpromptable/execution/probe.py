"""What `doctor` runs in a pod, with the image, volume, ConfigMap and Secrets of the steps: one line of JSON
per check.

`python -m unpromptable.execution.probe STORE` exits 0 whatever it finds, since the lines say it; with
--strict, 1 when something is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

SEARCH = "api/2.0/mlflow/experiments/search"


class Finding(NamedTuple):
    """One check: ok, or what was found and what to do."""

    check: str
    ok: bool
    text: str
    remedy: str = ""


def main(words: list[str]) -> int:
    """Print every finding."""
    parser = argparse.ArgumentParser(prog="python -m unpromptable.execution.probe")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--gpus", type=int, default=0, help="how many this pod asked for")
    parser.add_argument("store")
    a = parser.parse_args(words)
    passed = True
    for finding in findings(a.store, a.gpus):
        print(json.dumps(finding._asdict()), flush=True)
        passed = passed and finding.ok
    return 1 if a.strict and not passed else 0


def findings(store: str, gpus: int = 0) -> Iterator[Finding]:
    """The package, the store, the tracking server, scratch space and GPUs, as seen from here."""
    from importlib.metadata import version

    from unpromptable import tracking

    yield Finding("package in the image", True, f"unpromptable {version('unpromptable')}")
    yield _scratch()
    yield _store(store)
    yield _tracking(tracking.server())
    yield _gpus(gpus)


def _scratch() -> Finding:
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
        return Finding("scratch space", True, tempfile.gettempdir())
    except OSError as error:
        return Finding(
            "scratch space",
            False,
            str(error),
            "mount an emptyDir at /tmp; the root file system may be read-only",
        )


def _store(where: str) -> Finding:
    from unpromptable.storage import direct, files

    name = f".probe-{uuid.uuid4().hex}"
    try:
        root = Path(files.mirror(where.replace("/{name}", "")))
        path = (root if "://" in where else _there(root)) / name
        files.write_text(path, "x")
        files.remove(path)
        if not direct.create(path, name):  # as each lease of a step is made
            raise FileExistsError("a put with If-None-Match is refused where there is nothing")
        direct.drop(path)
        return Finding("store", True, f"{where} can be written by {_me()}")
    except Exception as error:
        if "://" in where:
            keys = "and the keys in its Secret or this pod's own rights"
            remedy = f"check the object store's address, that its bucket is there, {keys}"
            return Finding("store", False, f"{where}: {type(error).__name__}: {error}", remedy)
        return _unwritable(where, _there(root), error)


def _there(path: Path) -> Path:
    """The nearest folder of a path that exists: the one that the path's own would be made in."""
    return next(p for p in (path, *path.parents) if p.exists())


def _unwritable(where: str, folder: Path, error: Exception) -> Finding:
    """Whose the folder is, and who this is; a new volume is root's until a pod with an fsGroup mounts it."""
    stat = folder.stat()
    whose = f"{stat.st_uid}:{stat.st_gid}, mode {stat.st_mode & 0o7777:o}"
    text = f"{where}: {type(error).__name__}: {folder} is of {whose}, and this pod is {_me()}"
    if not folder.is_dir():
        return Finding("store", False, text, "choose a store whose folders are folders")
    if str(folder) == "/":
        remedy = "no volume is mounted there; compile without --no-volume, or give a store in an object store"
        return Finding("store", False, text, remedy)
    give = f"chown -R {os.getuid()}:{os.getgid()} {folder} and chmod g+rwxs, as its administrator"
    remedy = f"`helm test` gives a new volume to the steps' group; where it cannot (NFS, for one): {give}"
    return Finding("store", False, text, remedy)


def _me() -> str:
    return f"{os.getuid()}:{os.getgid()}"


def _tracking(uri: str) -> Finding:
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    from unpromptable.storage import databases

    if not uri:
        remedy = "put MLFLOW_TRACKING_URI into the ConfigMap that `config` names (the chart makes one)"
        return Finding("MLflow", False, "no tracking server is named in the pod", remedy)
    told = databases.shown(uri)
    try:
        request = _search(uri)
        # without a file of their own, by the system's certificates
        trust = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
        with urllib.request.urlopen(request, timeout=15, context=trust) as answer:
            json.load(answer)
        return Finding("MLflow", True, f"{told} answers")
    except urllib.error.HTTPError as error:
        body = error.read(300).decode(errors="replace").strip()
        return Finding("MLflow", False, f"{told} answers {error.code}: {body}", _remedy(error.code, body))
    except http.client.InvalidURL:  # whose text shows what it took for a port: a part of a password
        remedy = "give it as http://host:port; / and @ in an account are written %2F and %40"
        return Finding("MLflow", False, f"{told} is no server's address", remedy)
    except (OSError, ValueError) as error:
        remedy = (
            "check that the server runs (kubectl get pods) and that a NetworkPolicy lets these pods reach it"
        )
        if isinstance(getattr(error, "reason", error), ssl.SSLError):
            remedy = "give the certificate of who signed the server's to the chart: mlflow.tls.ca"
        return Finding("MLflow", False, f"{told} does not answer: {error}", remedy)


def _search(uri: str) -> Any:
    """A question to MLflow, with the account of its address or of the environment, which goes to no address
    that the answer may lead to.
    """
    import base64
    import urllib.request
    from urllib.parse import unquote, urlsplit

    where = urlsplit(uri)
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{k}", "") for k in ("USERNAME", "PASSWORD"))
    if where.username:
        user, password = unquote(where.username), unquote(where.password or "")
    request = urllib.request.Request(
        f"{where._replace(netloc=where.netloc.rpartition('@')[2]).geturl().rstrip('/')}/{SEARCH}",
        data=b'{"max_results": 1}',
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    if user:
        word = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {word}")
    return request


def _remedy(code: int, body: str) -> str:
    if code == 403 and "host" in body.lower():
        return (
            "the server refuses the Host header: add the Service's name, with and without port, to its"
            " --allowed-hosts (chart: mlflow.allowedHosts)"
        )
    if code in (401, 403):
        return (
            "put username and password of an MLflow account into the Secret that the parameter"
            " `tracking_secret` names"
        )
    return "see the server's log"


def _gpus(wanted: int) -> Finding:
    if not wanted:
        return Finding("GPU in the pod", True, "none asked for")
    import torch

    seen = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    built = f"PyTorch is built for CUDA {torch.version.cuda}"
    text = f"{', '.join(seen) or 'none seen'}; {wanted} asked for, {built}"
    remedy = "take the gpu image, and a node whose driver is new enough for that CUDA (nvidia-smi there)"
    return Finding("GPU in the pod", len(seen) >= wanted, text, remedy if len(seen) < wanted else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

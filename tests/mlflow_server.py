"""A tracking server as `mlflow server` starts it."""

import subprocess
import sys
import time
import urllib.error
import urllib.request


def start(folder, port):
    words = [
        "server",
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        str(folder / "files"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(240):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
            return process
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError("the MLflow server did not start")

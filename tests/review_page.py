"""The page of `review` as its command serves it, on the miniature, with what it asks elsewhere noted."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from unpromptable import miniature
from unpromptable.miniature import portraits

MODEL = str(Path(miniature.__file__).with_name("ddpm"))
NAME = "input[placeholder='ticket-4711'], textarea[placeholder='ticket-4711']"
STATUS = "document.querySelector('#status')?.innerText"
# bounds that a few updates at a great rate hold, so that the first attempt is released within a minute
FAST = {
    **{"networks.name": "miniature", "training.steps": 4, "training.lr": 0.002, "training.batch": 2},
    **{
        "sampling.images": 8,
        "sampling.steps": 4,
        "sampling.batch": 4,
        "injection.draws": 2,
        "injection.t": 20,
        "training.lookalikes": 0,  # with them so few updates leave SSCD above the gate below
    },
}
GATES = {"sscd": 0.9995, "lpips": 9, "ssim": -0.9, "nearest_excess": 9, "lookalikes": -0.9}


def pictures(folder):
    """A folder of pictures to keep, and the picture to forget."""
    (folder / "keep").mkdir()
    for number in range(60):
        Image.fromarray(portraits.picture(20 + number, 0)).save(folder / "keep" / f"{number:02d}.png")
    Image.fromarray(portraits.picture(12, 3)).save(folder / "jane-doe.png")
    return folder / "jane-doe.png"


class Outside:
    """A proxy that lets nothing through: whoever asks for another machine asks it, and is noted."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.asked = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                one, _ = self.socket.accept()
            except OSError:
                return
            with one:
                self.asked.append(one.recv(200).decode(errors="replace"))

    def environment(self):
        address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), address)
        return {**proxies, **{k.lower(): v for k, v in proxies.items()}}


@contextmanager
def served(folder, *more, token=""):
    """The page's address, its process, and what it asked of other machines."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    sets = [word for k, v in FAST.items() for word in ("--set", f"{k}={v}")]
    bounds = [word for k, v in GATES.items() for word in ("--gate", f"{k}={v}")]
    where = ["--model", MODEL, "--keep", str(folder / "keep"), "--out", str(folder / "out"), "--port", port]
    words = [
        sys.executable,
        "-m",
        "pipelines",
        "review",
        *where,
        "--world",
        "miniature",
        *sets,
        *bounds,
        *more,
    ]
    outside = Outside()
    told = {**os.environ, **outside.environment(), "UNPROMPTABLE_REVIEW_TOKEN": token, "TMPDIR": str(folder)}
    with (folder / "page.log").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=told)
    try:
        _wait(f"http://127.0.0.1:{port}/", process, folder / "page.log")
        yield f"http://127.0.0.1:{port}/", process, outside.asked
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            outside.socket.close()


def _wait(address, process, log):
    until = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.3)

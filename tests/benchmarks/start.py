"""A task's start, from its process to a loaded model, with the server of a local run and without."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import paired

HERE = Path(__file__).parent


def main() -> None:
    """One row; `python` and `kfp` are the seconds of the process alone, and with kfp's executor imported."""
    asked = paired.arguments(__doc__).parse_args()
    with server() as store:
        warm = lambda: run(f"import kfp.dsl.executor_main, start; start.ask({store!r})")
        alone = lambda: run("import kfp.dsl.executor_main, start; start.load()")
        found = paired.ratio(warm, alone, asked.pairs, 1)
    more = {
        name: min(paired.seconds(lambda: run(code)) for _ in range(3))
        for name, code in (("python", ""), ("kfp", "import kfp.dsl.executor_main"))
    }
    paired.record(asked.out, "start", "a task's start, with the warm server against alone", found, 1, **more)


def run(code: str) -> None:
    """A fresh Python process, as kfp's local runner starts one for every task."""
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def environment() -> dict[str, str]:
    """Where this file and the package are found, and that kfp runs a task."""
    path = os.pathsep.join([str(HERE), *sys.path[1:]])
    return {**os.environ, "PYTHONPATH": path, "_KFP_RUNTIME": "true"}


@contextmanager
def server():
    """The server of a local run, with its folder."""
    from unpromptable.execution import warm_client

    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", "unpromptable.execution.warm_server", store]
        process = subprocess.Popen(command, env=environment())
        try:
            while not (Path(store) / warm_client.FILE).is_file() and process.poll() is None:
                time.sleep(0.1)
            yield store
        finally:
            process.terminate()
            process.wait()


def load() -> int:
    """Load the miniature's base model; how many parameters it has."""
    from importlib import resources

    from unpromptable.models.families import ddpm

    model = ddpm.Model.load(str(resources.files("unpromptable") / "miniature" / "ddpm"))
    return sum(p.numel() for p in model.trained())


def ask(store: str) -> int:
    """The same by the run's server."""
    from unpromptable.execution import warm_client
    from unpromptable.storage import attempts

    with warm_client._reached(store) as wire:
        return warm_client._ask(wire, load, (), attempts.Attempt())


if __name__ == "__main__":
    main()

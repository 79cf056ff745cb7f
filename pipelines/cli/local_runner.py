"""The process group that `local` starts: kfp's own runner on this machine, its arguments as JSON on standard
input.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def main(out: str) -> None:
    """Run the sweep; raises RuntimeError when a task failed. The runner deletes its workspace, so that is
    never `out`.
    """
    from pipelines.cli import running

    running.end_with_parent()
    logging.basicConfig(level="INFO")
    warnings.filterwarnings("ignore", category=UserWarning, module="kfp")
    arguments = json.load(sys.stdin)
    shutil.rmtree(Path(out) / "kfp", ignore_errors=True)  # what an earlier run handed from task to task
    with tempfile.TemporaryDirectory() as workspace:
        os.environ["TMPDIR"] = tempfile.tempdir = (
            workspace  # of every task, each of which makes a folder there
        )
        _run(out, workspace, arguments)


def _run(out: str, workspace: str, arguments: dict[str, Any]) -> None:
    from kfp import local

    from pipelines.ablation_sweep import ablation_sweep

    with _warm(out, arguments.pop("pending")):
        local.init(
            runner=local.SubprocessRunner(use_venv=False),
            pipeline_root=f"{out}/kfp",
            workspace_root=workspace,
        )
        ablation_sweep(**arguments)


@contextmanager
def _warm(out: str, wanted: bool) -> Iterator[None]:
    """The process that imports once for all steps, while there is work to do."""
    server = (
        subprocess.Popen([sys.executable, "-m", "unpromptable.execution.warm_server", out])
        if wanted
        else None
    )
    try:
        yield
    finally:
        if server:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main(sys.argv[1])

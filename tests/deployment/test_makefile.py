"""The Makefile's install: refused with words where the disk has no room for it."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_an_install_without_room_is_refused_before_anything_is_fetched(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "images").mkdir()
    shutil.copy(ROOT / "images" / "base.env", tmp_path / "images")
    done = subprocess.run(
        ["make", "-C", str(tmp_path), "demo", "SPACE=1000000"], capture_output=True, text=True
    )
    assert (
        done.returncode
        and "installing takes up to 1000000 GB in" in done.stderr
        and "make room" in done.stderr
    )
    assert not (tmp_path / ".venv").exists()


def test_a_run_without_helm_ends_with_how_many_tests_it_skipped_and_the_command_that_gets_it():
    import os
    import re
    import sys

    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/deployment/test_chart.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": "/nowhere"},
    ).stdout
    number, version = (
        re.search(r"(\d+) skipped", told)[1],
        re.search(r"HELM_VERSION=(\S+)", (ROOT / ".ci" / "run").read_text())[1],
    )
    said = f"{number} tests of the chart were skipped, since helm is not on PATH: go install"
    assert int(number) > 30 and f"{said} helm.sh/helm/v3/cmd/helm@{version} " in told

"""The Makefile's install: refused with words where the disk has no room for it."""
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_an_install_without_room_is_refused_before_anything_is_fetched(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "images").mkdir()
    shutil.copy(ROOT / "images" / "base.env", tmp_path / "images")
    done = subprocess.run(["make", "-C", str(tmp_path), "demo", "SPACE=1000000"], capture_output=True, text=True)
    assert done.returncode and "installing takes up to 1000000 GB in" in done.stderr and "make room" in done.stderr
    assert not (tmp_path / ".venv").exists()

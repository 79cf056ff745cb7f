"""The DAG of a request to forget under kfp's local runner: from the request's text to a signed release."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

REQUEST = """
name: letter
world: miniature
model: miniature
forget: ["0104-3"]
keep: miniature
attempts: 2
editors: [lookalike]
gates: {fid_pre: 1.0}
settings: {sampling.images: 64, sampling.steps: 10, sampling.shards: 1}
"""
PROGRAM = """
import sys
from pathlib import Path
from kfp import local
from pipelines.hotfix import hotfix

text, folder, digest = Path(sys.argv[1]).read_text(), sys.argv[2], sys.argv[3]
places = {"pipeline_root": f"{folder}/kfp", "workspace_root": f"{folder}/work"}
local.init(local.SubprocessRunner(use_venv=False), **places)
hotfix(experiment=text, store=f"{folder}/store", digest=digest)
"""


@pytest.mark.slow
def test_a_request_becomes_a_release_that_verifies_once_it_is_signed(tmp_path):
    request, key = tmp_path / "letter.yaml", tmp_path / "operator.key"
    request.write_text(REQUEST)
    digest = hashlib.sha256(request.read_bytes()).hexdigest()
    (tmp_path / "work").mkdir()
    words = [sys.executable, "-c", PROGRAM, str(request), str(tmp_path), digest]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "work")}
    done = subprocess.run(words, capture_output=True, text=True, timeout=1500, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    def said(*words):
        called = [sys.executable, "-m", "pipelines", *map(str, words)]
        return subprocess.run(called, capture_output=True, text=True, timeout=600)

    release, public = tmp_path / "store" / "release", tmp_path / "operator.pub"
    assert said("key", key).returncode == 0
    unsigned = said("verify", release, "--key", public)
    assert unsigned.returncode == 1 and "certificate.sig: missing" in unsigned.stdout
    assert said("sign", release, "--key", key).returncode == 0
    verified = said("verify", release, "--key", public)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    certified = json.loads((release / "certificate.json").read_text())
    assert certified["outcome"] == "released" and certified["request"]["sha256"] == digest

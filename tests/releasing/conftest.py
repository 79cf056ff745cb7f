"""A request to forget two people, and its release."""

import json

import pytest
from release_rows import BASE, BOUNDS, NAMES, row

from unpromptable.releasing import certificate, gates, release, request, signing
from unpromptable.storage import files, fingerprints


@pytest.fixture
def asked(tmp_path):
    for name in NAMES:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep/a.png").write_bytes(b"x")
    text = (
        "name: ticket-7\nmodel: google/x\nforget: [person-a.png, person-b.png]\nkeep: keep\ndue: 2026-12-24\n"
    )
    (tmp_path / "request.yaml").write_text(text)
    return request.read(tmp_path / "request.yaml")


@pytest.fixture
def released(tmp_path, asked):
    """A release of a model that passes, signed."""
    unlearned = tmp_path / "run/cells/c/unlearned"
    (unlearned / "unet").mkdir(parents=True)
    (unlearned / "unet/weights.safetensors").write_bytes(bytes(range(200)))
    config = {"_class_name": "UNet2DModel", "_name_or_path": "/people/run/pretrained/unet"}
    (unlearned / "unet/config.json").write_text(json.dumps(config))
    (unlearned / "training.json").write_text("{}")
    files.finish(unlearned, "key")
    signing.create(tmp_path / "operator.key")
    good = row()
    found = {"neighbours x1": gates.judged(good, BOUNDS)}
    digest = fingerprints.sha256(tmp_path / "request.yaml")
    how = (digest, tmp_path / "run", BASE, good, found, tmp_path / "operator.key")
    assert release.write(tmp_path / "release", asked, *how) == certificate.RELEASED
    return tmp_path

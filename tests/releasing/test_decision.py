"""What a person decides: an approval rests on the certificate, a rejection leaves no release."""

import json

import pytest
from release_rows import BASE, BOUNDS, flip, row

from unpromptable.releasing import certificate, decision, gates, release
from unpromptable.storage import fingerprints


def test_an_approval_names_the_certificate_and_leaves_the_release_as_it_was(released):
    folder = released / "release"
    told = json.loads(decision.approve(folder, released / "operator.pub").read_text())
    assert told["decision"] == "approved" and told["when"].endswith("+00:00")
    assert told["certificate"] == fingerprints.sha256(folder / certificate.FILE)
    assert decision.read(released) == told
    assert certificate.verify(folder, released / "operator.pub", released / "request.yaml") == []


def test_a_release_that_changed_since_it_was_certified_is_not_approved(released):
    flip(released / "release/model/unet/weights.safetensors")
    with pytest.raises(ValueError, match="not as it was certified .*weights.safetensors: changed"):
        decision.approve(released / "release", None)
    assert decision.read(released) is None


def test_a_release_of_another_key_is_not_approved(released):
    (released / "release" / certificate.SIGNATURE).unlink()
    with pytest.raises(ValueError, match="nothing says who certified it"):
        decision.approve(released / "release", released / "operator.pub")


def test_what_no_gate_let_pass_is_not_approved(tmp_path, asked):
    bad = row(sscd=0.8)
    found = {bad.name: gates.judged(bad, BOUNDS)}
    how = ("1" * 64, tmp_path / "run", BASE, bad, found, None)
    assert release.write(tmp_path / "release", asked, *how) == certificate.REFUSED
    with pytest.raises(ValueError, match="nothing to approve"):
        decision.approve(tmp_path / "release", None)


def test_a_rejection_removes_the_release_and_says_which_it_was(released):
    was = fingerprints.sha256(released / "release" / certificate.FILE)
    decision.reject(released / "release")
    assert not (released / "release").exists()
    told = decision.read(released)
    assert (told["decision"], told["certificate"]) == ("rejected", was)
    with pytest.raises(FileNotFoundError, match="nothing to reject"):
        decision.reject(released / "release")

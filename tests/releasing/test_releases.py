"""A release: what its gates judge, what its certificate rests on, and that any change of either is found."""

import dataclasses
import json

import pytest

from pipelines import __main__ as command_line
from unpromptable.releasing import attempts, certificate, gates, release, request, signing
from unpromptable.reporting.row import Row
from unpromptable.scoring.estimates import Estimate

NAMES = ("person-a.png", "person-b.png")


def row(name="neighbours x1", sscd=0.3, nearest=0.5, **more):
    numbers = {
        "sscd": sscd,
        "sscd_ceiling": 0.9,
        "lpips": 0.1,
        "ssim": 0.9,
        "nearest": nearest,
        "nearest_real": 0.6,
    }
    return Row(
        **{"name": name, "group": name, "cell": "c", "folder": "cells/c", "method": "surrogate"},
        **{"editor": "neighbours", "networks": "miniature", "run_id": None, "status": "done", "error": None},
        settings={"forget": ", ".join(NAMES), "training.lr": 1e-4, "real": "/people"},
        metrics={k: Estimate(v, v - 0.05, v + 0.05, 8) for k, v in {**numbers, **more}.items()},
        labels={"sscd": "similarity by our miniature descriptor"},
        inputs={"after/injected/person-a.png": "1" * 64, "data/real": "2" * 64},
    )


@pytest.fixture
def asked(tmp_path):
    for name in NAMES:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "keep").mkdir()
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
    (unlearned / "training.json").write_text("{}")
    signing.create(tmp_path / "operator.key")
    good = row()
    attempts_ = {"neighbours x1": gates.judged(good, asked.gates)}
    how = (tmp_path / "request.yaml", tmp_path / "run", good, attempts_, tmp_path / "operator.key")
    assert release.write(tmp_path / "release", asked, *how)
    return tmp_path


def test_paths_of_a_request_are_those_beside_its_file_and_a_hub_name_stays(asked, tmp_path):
    assert asked.forget == tuple(str(tmp_path / n) for n in NAMES) and asked.keep == str(tmp_path / "keep")
    assert asked.model == "google/x" and asked.due == "2026-12-24" and asked.gates == gates.DEFAULTS


@pytest.mark.parametrize(
    "line, message",
    [
        ("name: Jane Doe", "request.name is 'Jane Doe'"),
        ("due: soon", "request.due is 'soon'; give a day such as"),
        ("keep: nowhere", "nowhere is no folder"),
        ("forget: [none.png]", "none.png is no file"),
        ("forget: []", "request.forget"),
        ("gates: {lpips: 0.3}", "request.gates has no sscd"),
        ("gates: {sscd: 0.4, beauty: 1}", "no gate on 'beauty'; choose from sscd"),
        ("gates: {sscd: 0.4, lpips: 0}", "request.gates.lpips is 0.0, which tells no models apart"),
        ("attempts: 0", "request.attempts is 0"),
        ("colour: red", "no setting 'colour'"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_in_one_line(asked, tmp_path, line, message):
    path = tmp_path / "request.yaml"
    key = line.partition(":")[0]
    kept = [other for other in path.read_text().splitlines() if not other.startswith(f"{key}:")]
    path.write_text("\n".join([*kept, line]))
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        request.read(path)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_attempts_go_from_the_least_work_on_and_hand_made_surrogates_come_first(asked):
    names = [c["name"] for c in attempts.of(dataclasses.replace(asked, attempts=12))]
    assert names[:4] == ["neighbours x1", "remember x1", "sdedit x1", "neighbours x4"] and len(names) == 9
    painted = attempts.of(dataclasses.replace(asked, surrogates="/painted"))
    assert painted[0]["editor"] == {"name": "paint", "folder": "/painted"} and len(painted) == 4
    assert painted[0]["training"]["until"] < asked.gates["sscd"]


def test_the_worse_end_of_an_interval_is_what_a_gate_judges():
    found = {f.metric: f for f in gates.judged(row(sscd=0.36, ssim=0.84), gates.DEFAULTS)}
    assert not found["sscd"].holds and found["sscd"].value == pytest.approx(0.41)
    assert not found["ssim"].holds and found["ssim"].value == pytest.approx(0.79)
    assert found["lpips"].holds and found["nearest"].holds and found["nearest"].bound == pytest.approx(0.6)


def test_no_sample_may_be_nearer_to_the_target_than_the_nearest_picture_to_keep():
    assert [f.metric for f in gates.judged(row(nearest=0.7), gates.DEFAULTS) if not f.holds] == ["nearest"]


def test_the_best_of_attempts_that_fail_misses_the_fewest_gates():
    found = {
        r.name: gates.judged(r, gates.DEFAULTS) for r in (row("a", 0.5), row("b", 0.45), row("c", 0.3, 0.9))
    }
    assert gates.best({k: found[k] for k in "ab"}) == "b"
    assert gates.best(found) == "c"


def test_a_release_verifies_with_its_run_gone_and_names_no_picture(released):
    import shutil

    shutil.rmtree(released / "run")
    folder = released / "release"
    assert certificate.verify(folder, released / "operator.pub", released / "request.yaml") == []
    text = "".join(p.read_text() for p in folder.rglob("*") if p.suffix in (".json", ".html", ".md"))
    assert not [n for n in (*NAMES, "person-a", "/people") if n in text] and "target 1" in text
    assert (
        not (folder / "model/training.json").exists()
        and "# ticket-7" in (folder / "model/README.md").read_text()
    )


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "changed, wrong",
    [
        ("release/model/unet/weights.safetensors", "model/unet/weights.safetensors: changed"),
        ("release/model/README.md", "model/README.md: changed"),
        ("request.yaml", "not the request that was answered"),
    ],
)
def test_one_byte_of_weights_card_or_request_is_found(released, changed, wrong):
    flip(released / changed)
    found = certificate.verify(released / "release", released / "operator.pub", released / "request.yaml")
    assert len(found) == 1 and wrong in found[0]


def test_a_certificate_that_was_changed_no_longer_has_its_signature(released):
    path = released / "release/certificate.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "released": True, "attempt": "another"}))
    assert (
        "changed since it was signed"
        in certificate.verify(released / "release", released / "operator.pub")[0]
    )
    signing.create(released / "other.key")
    assert certificate.verify(released / "release", released / "other.pub")
    (released / "release/certificate.sig").unlink()
    assert "missing" in certificate.verify(released / "release", released / "operator.pub")[0]


def test_a_file_added_or_removed_is_found(released):
    (released / "release/model/more.bin").write_bytes(b"1")
    (released / "release/model/unet/weights.safetensors").unlink()
    found = certificate.verify(released / "release", None)
    assert found == ["model/unet/weights.safetensors: missing", "model/more.bin: not certified"]


def test_a_model_that_fails_a_gate_is_not_in_the_folder_but_the_reasons_are(tmp_path, asked):
    bad = row(sscd=0.8)
    found = {bad.name: gates.judged(bad, asked.gates)}
    passed = release.write(
        tmp_path / "r", asked, tmp_path / "request.yaml", tmp_path / "run", bad, found, None
    )
    assert not passed and not list((tmp_path / "r/model").iterdir())
    assert "not released" in (tmp_path / "r/certificate.html").read_text()


def test_the_command_says_what_is_wrong(released, capsys):
    folder, key = str(released / "release"), str(released / "operator.pub")
    assert command_line.main(["verify", folder, "--key", key]) == 0
    flip(released / "release/model/unet/weights.safetensors")
    assert command_line.main(["verify", folder, "--key", key]) == 1
    assert "wrong    model/unet/weights.safetensors: changed" in capsys.readouterr().out
    assert command_line.main(["verify", str(released / "run")]) == 2


def test_a_key_is_its_owners_alone_and_never_written_over(tmp_path, capsys):
    assert command_line.main(["key", str(tmp_path / "k")]) == 0
    assert (tmp_path / "k").stat().st_mode & 0o077 == 0
    assert command_line.main(["key", str(tmp_path / "k")]) == 2
    assert "a key is there already" in capsys.readouterr().err
    (tmp_path / "junk").write_text("x")
    for load in (signing.private, signing.public):
        with pytest.raises(ValueError, match="key that can be read"):
            load(tmp_path / "junk")
        with pytest.raises(FileNotFoundError, match="no such key"):
            load(tmp_path / "none")

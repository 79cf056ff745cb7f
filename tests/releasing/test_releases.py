"""A release: what its gates judge, what its certificate rests on, and that any change of either is found."""

import dataclasses
import json
import shutil

import pytest
from release_rows import BASE, BOUNDS, NAMES, flip, row

from pipelines import __main__ as command_line
from unpromptable.releasing import certificate, gates, release, request, signing
from unpromptable.storage import files, fingerprints


def test_paths_of_a_request_are_those_beside_its_file_and_a_hub_name_stays(asked, tmp_path):
    assert asked.forget == tuple(str(tmp_path / n) for n in NAMES) and asked.keep == str(tmp_path / "keep")
    assert asked.model == "google/x" and asked.due == "2026-12-24" and asked.gates == {}


@pytest.mark.parametrize(
    "line, message",
    [
        ("name: Jane Doe", "request.name is 'Jane Doe'"),
        ("due: soon", "request.due is 'soon'; give a day such as"),
        ("keep: nowhere", "nowhere is no folder"),
        ("forget: [none.png]", "none.png is no file"),
        ("forget: []", "request.forget"),
        ("forget: [person-a.png, ./person-a.png]", "request.forget names a picture twice: person-a.png, ./"),
        ("forget: [person-a.png, link.png]", "request.forget names a picture twice: person-a.png, link"),
        ("editors: [magic]", "no 'magic'"),
        ("gates: {sscd: 0.4, beauty: 1}", "no gate on 'beauty'; choose from sscd"),
        ("gates: {sscd: 0.4, lpips: 0}", "request.gates.lpips is 0.0, which tells no models apart"),
        ("attempts: 0", "request.attempts is 0"),
        ("colour: red", "no setting 'colour'"),
        ("settings: {forget: [c.png]}", "request.settings has forget, which a request says as forget"),
        ("settings: {real: elsewhere}", "request.settings has real, which a request says as keep"),
        (
            "settings: {model.source: other}",
            "request.settings has model.source, which a request says as model",
        ),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_in_one_line(asked, tmp_path, line, message):
    path = tmp_path / "request.yaml"
    (tmp_path / "link.png").symlink_to("person-a.png")
    key = line.partition(":")[0]
    kept = [other for other in path.read_text().splitlines() if not other.startswith(f"{key}:")]
    path.write_text("\n".join([*kept, line]))
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        request.read(path)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_release_verifies_with_its_run_gone_and_names_no_picture(released):
    shutil.rmtree(released / "run")
    folder = released / "release"
    assert certificate.verify(folder, released / "operator.pub", released / "request.yaml") == []
    text = "".join(p.read_text() for p in folder.rglob("*") if p.suffix in (".json", ".html", ".md"))
    assert not [n for n in (*NAMES, "person-", "/people") if n in text] and "target 1" in text
    told = certificate.read(folder)
    assert told["numbers"]["lookalikes_sscd/00"] == 0.8 and told["numbers"]["group_lpips/00"] == 0.1
    assert told["settings"] == {"training.lr": 1e-4, "method": "surrogate"}
    assert json.loads((folder / "model/unet/config.json").read_text()) == {"_class_name": "UNet2DModel"}
    assert (
        not (folder / "model/training.json").exists()
        and "# ticket-7" in (folder / "model/README.md").read_text()
    )


@pytest.mark.parametrize(
    "changed, wrong",
    [
        ("release/model/unet/weights.safetensors", "model/unet/weights.safetensors: changed"),
        ("release/model/README.md", "model/README.md: changed"),
        ("release/certificate.html", "certificate.html: changed"),
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
    path.write_text(json.dumps({**told, "outcome": "released", "attempt": "another"}))
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
    (released / "release/certificate.html").unlink()
    assert certificate.verify(released / "release", None)[0] == "certificate.html: missing"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "README.md", "more/weights.bin", ".hidden"])
def test_a_file_beside_the_model_that_is_none_of_a_release_is_named(released, name):
    path = released / "release" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"1")
    found = certificate.verify(released / "release", released / "operator.pub")
    assert found == [f"{name.partition('/')[0]}: not certified"]


def test_a_link_in_a_release_is_refused_wherever_it_leads(released):
    (released / "elsewhere").mkdir()
    (released / "elsewhere/weights.safetensors").write_bytes(b"1")
    (released / "release/model/unet2").symlink_to(released / "elsewhere")
    said = "model/unet2: a link or no plain file"
    assert certificate.verify(released / "release", released / "operator.pub") == [said]
    (released / "release/model/unet2").unlink()
    weights = released / "release/model/unet/weights.safetensors"
    weights.rename(released / "elsewhere/same")
    weights.symlink_to(released / "elsewhere/same")
    said = "model/unet/weights.safetensors: a link or no plain file"
    assert certificate.verify(released / "release", None) == [said]
    weights.unlink()
    (released / "release/model").rename(released / "elsewhere/model")
    (released / "release/model").symlink_to(released / "elsewhere/model")
    assert "model: a link or no plain file" in certificate.verify(released / "release", None)


def test_a_model_that_fails_a_gate_is_not_in_the_folder_but_the_reasons_are(tmp_path, asked):
    bad = row(sscd=0.8)
    found = {bad.name: gates.judged(bad, BOUNDS)}
    how = ("0" * 64, tmp_path / "run", BASE, bad, found)
    outcome = release.write(tmp_path / "r", asked, *how)
    assert outcome == certificate.REFUSED and not list((tmp_path / "r/model").iterdir())
    assert "was not released" in (tmp_path / "r/certificate.html").read_text()


def test_only_the_model_that_was_judged_is_released(released, asked):
    unlearned = released / "run/cells/c/unlearned"
    judged = {"unlearned/weights": fingerprints.weights(unlearned)}

    def again(**inputs):
        good = dataclasses.replace(row(), inputs=inputs)
        how = ("0" * 64, released / "run", BASE, good, {good.name: gates.judged(good, BOUNDS)})
        return release.write(released / "again", asked, *how)

    assert again(**judged) == again() == certificate.RELEASED
    before = certificate.digests(released / "again")
    flip(unlearned / "unet/weights.safetensors")
    for inputs in (judged, {}):  # rows of before have no digest of the model
        with pytest.raises(
            ValueError, match="unlearned: not the model that attempt neighbours x1 was judged by"
        ):
            again(**inputs)
    files.finish(unlearned, "key")  # another training's, and its mark with it
    with pytest.raises(ValueError, match="remove .*cells/c, so that the attempt is made again"):
        again(**judged)
    shutil.rmtree(unlearned)
    with pytest.raises(ValueError, match="not the model that attempt neighbours x1 was judged by"):
        again(**judged)
    assert certificate.digests(released / "again") == before


def test_nothing_to_forget_is_a_result_with_a_certificate(tmp_path, asked):
    tested = dataclasses.replace(BASE, kept=BASE.ceilings, targets=("3" * 64, "4" * 64))
    how = ("0" * 64, tmp_path / "run", tested, None, {})
    assert release.write(tmp_path / "r", asked, *how) == certificate.NOTHING
    page, told = (tmp_path / "r/certificate.html").read_text(), certificate.read(tmp_path / "r")
    assert "nothing to forget" in page and "noised to t = 250 of 1000" in page
    assert told["inputs"] == {"data/target 1": "3" * 64, "data/target 2": "4" * 64} and "3" * 64 in page
    assert [e["mean"] for e in told["base"]["kept"]] == [0.9, 0.8] and "0.900, 0.800" in page
    assert told["base"]["test"] == BASE.test  # what it was judged by, though nothing was trained
    assert certificate.verify(tmp_path / "r", None) == []
    (tmp_path / "r/model").rmdir()  # as an object store gives it back
    assert certificate.verify(tmp_path / "r", None) == []


def test_the_command_says_what_is_wrong(released, capsys):
    folder, key = str(released / "release"), str(released / "operator.pub")
    assert command_line.main(["verify", folder, "--key", key]) == 0
    assert " (released): its signature and its hashes hold" in " ".join(capsys.readouterr().out.split())
    flip(released / "release/model/unet/weights.safetensors")
    assert command_line.main(["verify", folder, "--key", key]) == 1
    assert "wrong    model/unet/weights.safetensors: changed" in capsys.readouterr().out
    assert command_line.main(["verify", str(released / "run")]) == 2


@pytest.mark.parametrize(
    "name, public",
    [
        ("operator.key", "operator.pub"),
        ("operator.2025", "operator.2025.pub"),
        ("operator.2026", "operator.2026.pub"),
        ("team.pub", "team.pub.pub"),
        (".key", ".key.pub"),
    ],
)
def test_every_key_has_a_public_one_of_its_own_name_beside_it(tmp_path, name, public):
    signing.create(tmp_path / "operator.2024")
    assert signing.create(tmp_path / name) == tmp_path / public
    private, key = signing.private(tmp_path / name), signing.public(tmp_path / public)
    assert signing.holds(key, private.sign(b"x"), b"x")
    assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_a_key_is_its_owners_alone_and_never_written_over(tmp_path, capsys):
    assert command_line.main(["key", str(tmp_path / "k")]) == 0
    assert (tmp_path / "k").stat().st_mode & 0o077 == 0
    assert command_line.main(["key", str(tmp_path / "k")]) == 2
    assert "a key is there already" in capsys.readouterr().err
    assert command_line.main(["key", str(tmp_path / "k.key")]) == 2  # its public key would be that of k
    assert "k.pub: a key is there already" in capsys.readouterr().err and not (tmp_path / "k.key").exists()
    (tmp_path / "junk").write_text("x")
    for load in (signing.private, signing.public):
        with pytest.raises(ValueError, match="key that can be read"):
            load(tmp_path / "junk")
        with pytest.raises(FileNotFoundError, match="no such key"):
            load(tmp_path / "none")

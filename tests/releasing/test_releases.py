"""A release: what its gates judge, what its certificate rests on, and that any change of either is found."""

import dataclasses
import json
import re

import pytest

from pipelines import __main__ as command_line
from unpromptable.releasing import attempts, base, certificate, gates, release, request, signing
from unpromptable.reporting.row import Row
from unpromptable.scoring.estimates import Estimate
from unpromptable.storage import fingerprints

NAMES = ("person-a.png", "person-b.png")
BASE = base.Base((Estimate(0.9, 0.85, 0.95, 8), Estimate(0.8, 0.7, 0.9, 8)), 0.25, 1)
BOUNDS = gates.of({}, 0.25)


def row(name="neighbours x1", sscd=0.3, nearest=0.5, **more):
    numbers = {
        "sscd": sscd,
        "sscd_ceiling": 0.9,
        "lpips": 0.1,
        "ssim": 0.9,
        "sscd_most": sscd,
        "nearest_excess": nearest - 0.6,
        "lookalikes": 0.8,
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
    found = {"neighbours x1": gates.judged(good, BOUNDS)}
    digest = fingerprints.sha256(tmp_path / "request.yaml")
    how = (digest, tmp_path / "run", BASE, good, found, tmp_path / "operator.key")
    assert release.write(tmp_path / "release", asked, *how) == certificate.RELEASED
    return tmp_path


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
        ("editors: [magic]", "no 'magic'"),
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


def tried(**sscd):
    """What the gates say of attempts of these SSCDs, by names such as `remember_x4`."""
    return {
        k.replace("_x", " x"): gates.judged(row(k.replace("_x", " x"), *given), BOUNDS)
        for k, given in ((k, v if isinstance(v, tuple) else (v,)) for k, v in sscd.items())
    }


def test_an_editor_is_tried_ever_more_strongly_and_then_the_next(asked):
    name = lambda **sscd: (attempts.following(asked, tried(**sscd)) or {}).get("name")
    assert name() == "lookalike x1" and name(lookalike_x1=0.6) == "lookalike x4"
    one = {"lookalike_x1": 0.6, "lookalike_x4": 0.5, "lookalike_x8": 0.45}
    assert name(**one) == "neighbours x1" and name(**one, neighbours_x1=0.5) == "neighbours x4"
    two = {**one, "neighbours_x1": 0.5, "neighbours_x4": 0.5, "neighbours_x8": 0.5}
    assert attempts.following(asked, tried(**two)) is None  # six were allowed
    all_ = dataclasses.replace(asked, editors=("lookalike",))
    assert attempts.following(all_, tried(**one)) is None


def test_what_already_costs_too_much_or_failed_is_not_tried_more_strongly(asked):
    lost = [f for f in gates.judged(row("a", 0.6), BOUNDS) if f.metric != "lpips"]
    lost.append(gates.finding("lpips", 0.4, Estimate(0.6, 0.5, 0.7, 8)))
    for found in (lost, []):
        assert attempts.following(asked, {"lookalike x1": found})["name"] == "neighbours x1"


def test_where_only_an_earlier_target_came_back_by_little_less_strength_is_added(asked):
    again = dataclasses.replace(asked, settings={"training.held": "held.safetensors"})
    by = lambda much: gates.Finding("earlier request 1", 0.4, 0.4 + much, 0.4, 0.4, 0.4 + much, 8, much < 0)
    gone, left = (gates.judged(row("a", sscd), BOUNDS) for sscd in (0.2, 0.6))
    beta, usual, more = attempts.BETA["paper"], attempts.REVISIT, attempts.REVISIT_MORE

    def following(*found):
        tried = dict(zip(("lookalike x1", "lookalike x2"), found))
        cell = attempts.following(again, tried)
        return cell["name"], cell["method"]["beta"], cell["training"]["revisit"]

    assert following() == ("lookalike x1", beta, usual)
    for much in (0.0, 0.03):  # to be at a gate is not to be below it
        little = [*gone, by(-0.1), by(much)]
        assert following(little) == ("lookalike x2", 2 * beta, more)
    assert following(little, left) == ("lookalike x8", 8 * beta, more)
    for found in ([*gone, by(0.03), by(0.2)], [*left, by(0.03)]):
        assert following(found) == ("lookalike x4", 4 * beta, more)
    assert following(left) == ("lookalike x4", 4 * beta, usual)


def test_hand_made_surrogates_come_first_and_several_targets_are_gone_back_to(asked):
    painted = attempts.following(dataclasses.replace(asked, surrogates="/painted"), {})
    assert painted["editor"] == {"name": "paint", "folder": "/painted"}
    wanted = {
        "steps": attempts.STEPS["paper"],
        "until": pytest.approx(0.3),
        "lookalikes": attempts.LOOKALIKES,
    }
    assert painted["training"] == {**wanted, "revisit": attempts.REVISIT}
    one = attempts.following(dataclasses.replace(asked, forget=asked.forget[:1], gates={"sscd": 0.3}), {})
    assert one["training"] == {**wanted, "until": pytest.approx(0.225)}


def test_the_default_gate_is_what_unrelated_pictures_reach_where_that_is_above_the_paper_s():
    assert gates.of({}, 0.25)["sscd"] == 0.4 and gates.of({}, 0.5123)["sscd"] == 0.512
    own = {"sscd": 0.3, "lookalikes": 0.5, "relearn": 40}
    assert gates.of({"sscd": 0.3, "relearn": 40}, 0.5) == {**gates.DEFAULTS, **own}


def test_no_lookalike_may_be_forgotten_by_the_test_that_says_the_target_is():
    assert gates.of({}, 0.25)["lookalikes"] == 0.4 and gates.of({"lookalikes": 0.7}, 0.5)["lookalikes"] == 0.7
    [lost] = [f for f in gates.judged(row(lookalikes=0.44), BOUNDS) if not f.holds]
    assert lost.metric == "lookalikes" and lost.value == pytest.approx(0.39) and not gates.keeps([lost])
    assert lost.line() == "lookalikes 0.440, at its worst 0.390: not above 0.400"
    assert "lookalikes" in gates.metrics({})


@pytest.mark.parametrize(
    "said, gate, metric",
    [
        ("labels: people.csv", "group", "'name': 'group', 'labels': '.*people.csv'"),
        ("settings: {other_prompts: [flag of Peru]}", "lpips_prompts", "'lpips_kept'"),
    ],
)
def test_a_part_of_what_is_kept_has_the_gate_of_all_of_it(asked, tmp_path, said, gate, metric):
    file = tmp_path / "request.yaml"
    (tmp_path / "people.csv").write_text("a.png,a\n")
    assert asked.parts == ()
    file.write_text(f"{file.read_text()}{said}\n")
    parts = request.read(file).parts
    assert parts == (gate,) and gates.of({}, 0.2, parts)[gate] == gates.DEFAULTS["lpips"]
    assert gates.of({"lpips": 0.2}, 0.2, parts)[gate] == 0.2
    assert gates.of({"lpips": 0.2, gate: 0.3}, 0.2, parts)[gate] == 0.3
    assert re.search(metric, str(request.read(file).experiment([])["metrics"]))


def test_labels_that_are_not_there_are_missed_before_anything_is_trained(asked, tmp_path):
    file = tmp_path / "request.yaml"
    file.write_text(f"{file.read_text()}labels: people.csv\n")
    with pytest.raises(
        FileNotFoundError, match="request.labels: .*people.csv is no file; give lines of name"
    ):
        request.read(file)


def test_gates_of_forgetting_take_the_target_that_is_worst():
    least = gates.of({"likelihood_change": 0.5}, 0.25)
    given = row(likelihood_change=2.0, likelihood_least=0.52)
    [lost] = [f for f in gates.judged(given, least) if not f.holds]
    assert (lost.metric, lost.mean) == ("likelihood_change", 0.52) and gates.keeps([lost])
    assert "likelihood" in gates.metrics({"likelihood_change": 0.5})


def test_the_worse_end_of_an_interval_is_what_a_gate_judges():
    found = {f.metric: f for f in gates.judged(row(sscd=0.36, ssim=0.84), BOUNDS)}
    assert not found["sscd"].holds and found["sscd"].value == pytest.approx(0.41)
    assert not found["ssim"].holds and found["ssim"].value == pytest.approx(0.79)
    assert found["lpips"].holds and found["nearest_excess"].holds


def test_no_sample_may_be_nearer_to_the_target_than_the_nearest_picture_to_keep():
    assert [f.metric for f in gates.judged(row(nearest=0.7), BOUNDS) if not f.holds] == ["nearest_excess"]


def test_the_best_of_attempts_that_fail_misses_the_fewest_gates():
    found = {r.name: gates.judged(r, BOUNDS) for r in (row("a", 0.5), row("b", 0.45), row("c", 0.3, 0.9))}
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


def test_a_model_that_fails_a_gate_is_not_in_the_folder_but_the_reasons_are(tmp_path, asked):
    bad = row(sscd=0.8)
    found = {bad.name: gates.judged(bad, BOUNDS)}
    how = ("0" * 64, tmp_path / "run", BASE, bad, found)
    outcome = release.write(tmp_path / "r", asked, *how)
    assert outcome == certificate.REFUSED and not list((tmp_path / "r/model").iterdir())
    assert "was not released" in (tmp_path / "r/certificate.html").read_text()


def test_nothing_to_forget_is_a_result_with_a_certificate(tmp_path, asked):
    how = ("0" * 64, tmp_path / "run", BASE, None, {})
    assert release.write(tmp_path / "r", asked, *how) == certificate.NOTHING
    assert "nothing to forget" in (tmp_path / "r/certificate.html").read_text()
    assert certificate.verify(tmp_path / "r", None) == []


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

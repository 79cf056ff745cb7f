"""SSCD's file is a program: it runs only where its SHA-256 is a setting, and the plan says so first."""

import ast
import hashlib
import json
from pathlib import Path

import pytest
from planned_settings import refused, resolve

import unpromptable
from pipelines.__main__ import main
from unpromptable.planning import pinned
from unpromptable.planning.settings import Networks

PROGRAM, PIN = b"a program", hashlib.sha256(b"a program").hexdigest()
PAPER = {"networks": "paper"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / pinned.SSCD).write_bytes(PROGRAM)
    return str(tmp_path)


def test_the_papers_networks_are_planned_only_with_the_digest_of_their_program(folder):
    resolve({**PAPER, "networks.folder": folder, "networks.sscd_sha256": PIN.upper()}, inputs=True)
    resolve({**PAPER, "networks.sscd_sha256": PIN}, inputs=True)  # what will be fetched is looked at then
    told = refused({**PAPER, "networks.folder": folder}, inputs=True)
    assert told.startswith(f"networks.sscd_sha256 is not given: {pinned.SSCD} is a program")
    assert f"{folder}/{pinned.SSCD}, published at {pinned.SSCD_FROM}, has SHA-256 {PIN}" in told
    assert f"--set networks.sscd_sha256={PIN} " in told
    told = refused(PAPER, inputs=True)
    assert f"curl -LO {pinned.SSCD_FROM}" in told and "--set networks.sscd_sha256=DIGEST " in told
    resolve(inputs=True)


def test_another_file_than_the_pinned_one_is_refused_with_both_digests(folder):
    other = "0" * 64
    told = refused({**PAPER, "networks.folder": folder, "networks.sscd_sha256": other}, inputs=True)
    assert f"is {other}, but {folder}/{pinned.SSCD} has SHA-256 {PIN}" in told
    with pytest.raises(ValueError, match="another file than the one that was checked, and is not run"):
        pinned.content(Path(folder, pinned.SSCD), other)
    assert pinned.content(Path(folder, pinned.SSCD), PIN) == PROGRAM


def test_the_onnx_form_is_no_program_and_needs_a_folder_but_no_digest(tmp_path):
    assert pinned.fault(Networks("paper", str(tmp_path), sscd="onnx")) == ""
    with pytest.raises(ValueError, match="networks.sscd is onnx, but networks.folder, where that file lies"):
        Networks("paper", sscd="onnx")
    assert Networks("miniature", sscd="onnx").name == "miniature"  # the setting is of another network


@pytest.mark.parametrize("pin", ["a" * 63, "a" * 65, "g" * 64, "sha256:" + "a" * 64])
def test_a_digest_has_64_hexadecimal_digits(pin):
    with pytest.raises(ValueError, match="networks.sscd_sha256 is .*; give the 64 hexadecimal digits"):
        Networks("paper", sscd_sha256=pin)


def test_a_dry_run_and_a_submission_say_what_is_missing(capsys):
    assert main(["plan", "table1", "--world", "paper"]) == 0
    assert "Before a run: networks.sscd_sha256 is not given" in capsys.readouterr().out
    assert main(["plan", "table1", "--world", "paper", "--json"]) == 0
    assert "sscd_sha256 is not given" in json.loads(capsys.readouterr().out)["before_a_run"]
    assert main(["plan", "table1", "--world", "paper", "--set", f"networks.sscd_sha256={PIN}"]) == 0
    assert "Before a run" not in capsys.readouterr().out
    assert main(["submit", "table1", "--world", "paper", "--set", "real=/store/faces"]) == 2
    assert "networks.sscd_sha256 is not given" in capsys.readouterr().err


def test_nothing_else_that_is_loaded_can_run_code():
    """Of files, that is: pickles, archives of code, and code that a repository brings along."""
    found = set()
    for path in sorted(Path(unpromptable.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
                unsafe = name == "torch.load" and given.get("weights_only") != "True"
                unsafe |= name in ("torch.jit.load", "torch.hub.load", "torch.package.PackageImporter")
                unsafe |= name.startswith(("pickle.", "joblib.", "dill.", "onnx.", "onnxruntime."))
                unsafe |= "custom_pipeline" in given or given.get("allow_pickle", "False") != "False"
                unsafe |= given.get("trust_remote_code", "False") != "False"
                found |= {(path.name, name)} if unsafe else set()
            if isinstance(node, ast.ClassDef) and "pickle.Unpickler" in map(ast.unparse, node.bases):
                found.add((path.name, node.name))
    # an error that a process of the step's own is about to send to its parent, tried before it is sent
    own = {("crew.py", "pickle.loads"), ("crew.py", "pickle.dumps")}
    # one that reads arrays alone, and networks of operators that onnxruntime itself knows
    own |= {("registries.py", "Arrays")}
    own |= {("onnx_files.py", f"onnxruntime.{name}") for name in ("SessionOptions", "InferenceSession")}
    assert found - own == {("metric_networks.py", "torch.jit.load")}

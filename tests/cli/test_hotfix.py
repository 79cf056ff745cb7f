"""The command `hotfix`: what it says of bad input that only its steps find."""

from io import StringIO
from types import SimpleNamespace

import pytest
import yaml
from contracts import small
from PIL import Image
from rich.console import Console

from pipelines import __main__ as command_line
from pipelines.cli import hotfix as command
from unpromptable.releasing import certificate


@pytest.fixture
def asked(tmp_path):
    """The words of a request whose folder to keep holds a file that is no picture."""
    (tmp_path / "keep").mkdir()
    for number, picture in enumerate(small.people(*range(6), 104)):
        Image.fromarray(picture).save(tmp_path / f"keep/{number}.png")
    (tmp_path / "keep/6.png").rename(tmp_path / "me.png")
    (tmp_path / "keep/text.png").write_text("no picture")
    told = {"name": "t", "model": str(small.MINIATURE / "ddpm"), "forget": ["me.png"], "keep": "keep"}
    told |= {"world": "miniature", "settings": {"networks.name": "miniature"}}
    (tmp_path / "request.yaml").write_text(yaml.safe_dump(told))
    return ["hotfix", str(tmp_path / "request.yaml"), "--out", str(tmp_path / "out")]


def test_what_a_step_finds_wrong_ends_in_one_line_without_a_traceback(asked, capsys, caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    assert command_line.main(asked) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: prepare: ") and "text.png" in told and told.count("\n") == 1
    assert "Traceback" not in caplog.text and "text.png" in caplog.text


def test_a_model_that_is_none_is_refused_before_any_step(asked, tmp_path, capsys):
    path = tmp_path / "request.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "model": "nope"}))
    assert command_line.main(asked) == 2 and not (tmp_path / "out" / "run").exists()
    told = capsys.readouterr().err
    assert told.startswith("error: model.source: nope is no folder here, and no name on the hub")


@pytest.mark.parametrize(
    "more, remedy", [(True, "paint `surrogates`, or raise `attempts`"), (False, "paint `surrogates`")]
)
def test_more_attempts_are_a_remedy_only_where_there_may_be_more(more, remedy, tmp_path):
    console = Console(file=StringIO(), width=200)
    row = SimpleNamespace(name="neighbours x8")
    assert command._ended(certificate.REFUSED, row, tmp_path, None, more, console) == command.REFUSED
    assert console.file.getvalue().endswith(f"certificate.html; {remedy}\n")

"""The command line: bad input is one line and exit code 2, before anything starts."""

import fcntl
import io
import shlex

import pytest
from PIL import Image
from rich.console import Console

from pipelines import __main__ as command_line
from pipelines.__main__ import main
from pipelines.cli.options import override
from unpromptable.storage import progress


def run(capsys, *words):
    code = main(list(words))
    return code, capsys.readouterr().err


def test_a_path_that_is_left_out_is_no_empty_word():
    [verbs] = [a for a in command_line._parser()._actions if a.choices]
    for name, command in verbs.choices.items():
        empty = [a.dest for a in command._actions if a.dest in command_line.PATHS and a.default == ""]
        assert not empty, name


def test_all_tables_go_into_a_folder_that_need_not_be_named(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, error = run(capsys, "paper", "--set", "training.stepps=3")
    assert code == 2 and "did you mean steps" in error and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words, message",
    [
        (["local", "nowhere.yaml"], "experiment: nowhere.yaml is neither a file nor one that ships"),
        (["local", "demo", "--world", "mars"], "world: no 'mars'; choose from miniature, paper"),
        (["local", "demo", "--set", "training.steps"], "--set training.steps: expected key=value"),
        (["local", "demo", "--set", "training.stepps=3"], "did you mean steps"),
        (["local", "demo", "--set", "method.beta=0.01"], "surrogate.beta is 0.01; it must lie in (0, 0.001]"),
        (["local", "demo", "--set", "training.steps=-1"], "training.steps is -1; it must be above 0"),
        (
            ["local", "demo", "--set", "model.source=nowhere/at-all", "--set", "real=nowhere"],
            "networks.sscd_sha256 is not given",
        ),
        (
            [
                "local",
                "demo",
                "--set",
                "real=nowhere",
                *("--set", "model.source=x", "--set", "networks=flags"),
            ],
            "real: nowhere is no folder of images",
        ),
        *(
            (words, f"{words[-2]} is empty; name a f")
            for words in (
                ["train", ".", "--out", ""],
                ["local", "demo", "--out", ""],
                ["local", "demo", "--out", " "],
                ["paper", "--out", ""],
                ["compile", "--out", ""],
                ["submit", "demo", "--package", ""],
                ["submit", "demo", "--store", ""],
                ["size", "demo", "--package", ""],
                ["paint", "0001-0", "--box", "1,1,9,9", "--out", ""],
                ["paint", "0001-0", "--mask", ""],
                ["paint", "0001-0", "--box", "1,1,9,9", "--real", ""],
            )
        ),
        (["train", "", "--out", "x"], "folder is empty; name a folder"),
        (["local", ""], "experiment is empty; name a file"),
        (["train", ".", "--out", "x", "--size", "0"], "--size is 0; it must be at least 1"),
        (["train", "nowhere", "--out", "x"], "train: nowhere is no folder of images"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, error = run(capsys, *words)
    assert code == 2 and error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["local", "demo", "--out", "file"],
        ["local", "demo", "--out", "file/x"],
        ["paper", "--out", "file/x"],
        ["compile", "--out", "file/x.yaml"],
        ["paint", "0001-0", "--box", "1,1,9,9", "--out", "file/x"],
        ["train", "pictures", "--size", "16", "--channels", "8,8", "--out", "file/x"],
    ],
)
def test_a_path_where_nothing_can_be_written_is_named_in_one_line(capsys, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "pictures" / "a.png")
    code, error = run(capsys, *words)
    assert (
        code == 2
        and error.count("\n") == 1
        and "Errno" not in error
        and (tmp_path / "file").read_text() == "kept"
    )
    assert words[-1].split("/")[0] in error and error.endswith("; mend or choose another path\n")


def test_a_second_run_in_the_same_folder_is_refused(capsys, tmp_path):
    with (tmp_path / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, error = run(capsys, "local", "demo", "--out", str(tmp_path))
    assert code == 2 and "another run is at work there" in error


def test_a_full_disk_is_said_before_the_run(capsys, tmp_path, monkeypatch):
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 << 20))
    code, error = run(capsys, "local", "demo", "--out", str(tmp_path))
    assert code == 2 and "5 MiB free on that disk, at least 1024 are needed" in error


NAMES = ("[x]", "[/red]", "[bold]b", "a [link=x] b\\")


@pytest.mark.parametrize("terminal", [True, False])
def test_names_with_brackets_reach_the_terminal_as_they_are(terminal):
    shown = Console(file=io.StringIO(), force_terminal=terminal, width=200, color_system=None)
    with (progress._Bars if terminal else progress._Lines)(shown) as show:
        for name in NAMES:
            for kind, more in (
                ("start", {}),
                ("progress", {"done": 1, "total": 3}),
                ("skipped", {}),
                ("done", {}),
                ("failed", {}),
            ):
                show.take(
                    {
                        "time": 0.0,
                        "cell": f"{name} cell",
                        "step": name,
                        "kind": kind,
                        "text": f"{name} text",
                        **more,
                    }
                )
            show.take(
                {
                    "time": 0.0,
                    "cell": name,
                    "step": "s",
                    "kind": "failed",
                    "text": "told at the end",
                    "bad": True,
                }
            )
    text = shown.file.getvalue()
    assert "told at the end" not in text
    assert all(f"{name} cell" in text and f"{name} text" in text for name in NAMES)


def test_titles_and_folders_with_brackets_reach_the_terminal_as_they_are(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    title = "A [/red] title [x]"
    (tmp_path / "e.yaml").write_text(
        f"name: e\ntitle: '{title}'\nforget: ['0007-3']\ncells:\n- {{name: 'Ours [/b] [y]', editor: flip}}\n"
    )
    assert main(["plan", "e.yaml"]) == 0
    said = capsys.readouterr().out
    assert title in said and "Ours [/b] [y]" in said
    monkeypatch.setattr(
        "pipelines.cli.local._drive", lambda *_: (1, [{"cell": "c [/z]", "step": "s", "text": "no [x]"}])
    )
    (tmp_path / "[out]").mkdir()
    (tmp_path / "[out]" / "report.html").write_text("")
    assert main(["local", "e.yaml", "--out", "[out]"]) == 1
    said = capsys.readouterr().out
    assert (
        title in said
        and "in [out]" in said
        and "c [/z] s: no [x]" in said
        and "report   [out]/report.html" in said
    )


def test_the_hints_that_end_train_and_paint_can_be_pasted_into_a_shell(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my [x] pictures"
    folder.mkdir()
    for i in range(2):
        Image.new("RGB", (16, 16), (90 * i, 20, 60)).save(folder / f"{i}, it's.png")
    out = "a [/red] model"
    assert (
        main(["train", folder.name, "--out", out, "--size", "16", "--steps", "1", "--channels", "8,8"]) == 0
    )
    hint = shlex.split(capsys.readouterr().out.partition("use it with  ")[2])
    assert hint == ["--set", f"model.source={out}", "--set", f"real={folder.name}"]
    target = f"{folder.name}/0, it's.png"
    assert main(["paint", target, "--box", "2,2,9,9", "--fill", "#ffffff", "--out", "p [y]"]) == 0
    said = capsys.readouterr().out
    hint = shlex.split(said.partition("use it with  ")[2])
    assert (
        override(hint[1]) == ("forget", [target])
        and hint[-1] == "editor.folder=p [y]"
        and "painted  p [y]/" in said
    )

"""YAML as people write it: plain values, or one line that says what is wrong."""

import pytest
from planned_settings import resolve

from pipelines.cli.options import override
from unpromptable.planning import plan, reading


def test_a_key_given_twice_is_refused_with_both_lines():
    text = "name: t\nforget: [0012-3]\nbase:\n  training:\n    steps: 3\n    lr: 1e-4\n    steps: 4\n"
    with pytest.raises(
        ValueError, match=r"^experiment: the key 'steps' is given twice, in lines 5 and 7; keep one"
    ):
        plan.resolve(text)
    with pytest.raises(ValueError, match="--set training: the key 'lr' is given twice"):
        override("training={lr: 1, lr: 2}")


@pytest.mark.parametrize(
    "text, words",
    [
        ("name: t\na: &a [*a]\n", "line 2 holds itself"),
        ("a: &a {b: *a}\n", "holds itself"),
        (
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 12)),
            "stands for .* at most 50,000",
        ),
        ("a0: &a0 [x]\n" + "".join(f"a{k}: &a{k} [*a{k - 1}]\n" for k in range(1, 300)), "on 41 levels"),
        ("a: " + "[" * 10_000 + "\n", "more than 40 levels"),
        ("a: !!python/object:os.system {}\n", "tag"),
        ("a: !!int x\n", "tag|not valid YAML"),
        ("a: !!binary eA==\n", "tag"),
        ("a: !!set {x}\n", "tag"),
        ("1: x\n", "key in line 1 is '1'; keys are words"),
        ("? [a]\n: x\n", "keys are words"),
        ("a: b\n---\na: c\n", "another document"),
        ("a: 'x\n", "not valid YAML"),
        ("a: \0\n", "not valid YAML"),
        ("a: " + "9" * 5000 + "\n", "not valid YAML"),
    ],
)
def test_what_is_no_plain_yaml_is_one_line(text, words):
    with pytest.raises(ValueError, match=words) as caught:
        plan.resolve(text)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("experiment: ")


def test_a_file_that_is_no_text_is_one_line_that_names_it(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="a.yaml: not UTF-8 text"):
        plan.resolve(str(tmp_path / "a.yaml"))
    # not the demo that ships
    with pytest.raises(FileNotFoundError, match="nowhere/demo.yaml is neither a file"):
        plan.resolve("nowhere/demo.yaml")


def test_words_and_numbers_are_read_as_they_look():
    assert reading.value("[no, 2024-05-01, 0012, 12:30, 1e-5, 1.0e-4, 7, -3, true, ~, .inf]", "x") == [
        "no",
        "2024-05-01",
        "0012",
        "12:30",
        1e-5,
        1e-4,
        7,
        -3,
        True,
        None,
        float("inf"),
    ]
    assert (
        resolve({"training.precision": override("training.precision=no")[1]}).cells[0].training.precision
        == "no"
    )


@pytest.mark.parametrize(
    "value",
    [
        "1e5",
        "no",
        "true",
        "0012",
        "12",
        "1.5",
        "",
        "~",
        "a: b",
        "方法",
        "x # y",
        "- x",
        "<<",
        "=",
        "2024-05-01",
        ".5",
        "+1",
    ],
)
def test_what_is_written_is_read_again_as_it_was(value):
    assert reading.value(reading.write({"a": [value], "b": 1e-5}), "x") == {"a": [value], "b": 1e-5}


@pytest.mark.parametrize(
    "text",
    [
        'worlds: {"\\ud800\\n": 1}',
        'sweep: {"a\\nb": 1}',
        'model: {"a\\nb": 1}',
        "forget: [\u202eevil]",
        "real: a\u2066b",
        f"name: {'x' * 9000}",
        f"prompt: {'x' * 9000}",
        f"{'k' * 900}: 1\n{'k' * 900}: 2",
        f"sampling: {{sampler: {'x' * 9000}}}",
    ],
)
def test_no_key_or_value_tears_the_line_of_its_refusal(text):
    head = "" if text[:5] in ("name:", "forge") else "name: t\nforget: ['0012-3']\n"
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        plan.resolve(head + text + "\nx: 1" * (text[:5] == "name:"))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700

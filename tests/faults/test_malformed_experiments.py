"""Experiments that are none: thousands of texts spoilt by chance, each planned or refused in one line."""

import json
import os
from pathlib import Path

import pytest
from malformed import room, told, tried  # noqa: F401  (room is a fixture)

from unpromptable.planning import plan, reading
from unpromptable.planning import spec as planned

pytestmark = pytest.mark.slow
EXPERIMENTS = sorted((Path(__file__).parents[2] / "pipelines" / "experiments").glob("*.yaml"))

LINES = [
    *(
        "a: &a [*a]",
        "b: &b {c: *b}",
        "base: *nowhere",
        "<<: {name: x}",
        "<<: [1]",
        "? [a, b]\n: c",
        "null: 1",
    ),
    'name: !!python/object/apply:os.system ["touch ../outside/ran"]',
    "real: !!python/name:os.system",
    "model: !!python/object/new:subprocess.Popen [[touch, ../outside/ran]]",
    *(
        "forget: !!set {a, b}",
        "forget: !!binary aGFsbG8=",
        "title: !!timestamp 2024-01-01",
        "sweep: !!omap [a: 1]",
    ),
    "paper: !<tag:yaml.org,2002:python/tuple> [1]",
    f"title: {'9' * 5000}",
    f"sampling: {{images: {'9' * 400}}}",
    "training: {lr: 1e-999999999}",
    f"description: {'x' * 200_000}",
    f"x: {'[' * 2000}",
    f"y: {'{a: ' * 500}",
    f"z: {'- ' * 900}1",
    "l: &l0 [x, x]\n" + "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 12)),
    "m: &m0 {a: 1}\n"
    + "".join(f"m{i}: &m{i} {{<<: [*m{i - 1}, *m{i - 1}], b{i}: 1}}\n" for i in range(1, 40)),
    *(
        "\tname: tab",
        "name: 'open",
        'name: "\\ud800"',
        '"\\ud800": 1',
        '"a\\nb": 2',
        'worlds: {"\\ud800\\n": 1}',
    ),
    *(
        "name: a\x07b",
        "name: \u202eabc",
        "\ufeffname: bom",
        "name: 💥",
        "name: ..",
        "name: ../../outside",
        "--- x",
        "%TAG",
    ),
    *(
        "real: ../../outside",
        "real: /proc",
        "real: /dev/zero",
        "real: pipe",
        "real: .",
        "forget: [../outside/kept.txt]",
    ),
    *(
        "forget: [/dev/zero]",
        "forget: [pipe]",
        "forget: [/proc/self/mem]",
        "forget: [/etc/passwd]",
        "real: flags/../x",
    ),
    *(
        "model: {source: ../outside}",
        "model: {source: pipe}",
        "model: {name: ../../x}",
        "networks: {folder: /proc/self}",
    ),
    *(
        "editor: os",
        "base: {method: ../x}",
        "base: {editor: {name: paint, folder: /dev}}",
        "metrics: [os.path]",
    ),
    *("base: {editor: {name: paint, folder: ../outside}}", "base: {editor: {name: paint, folder: pipe}}"),
    *(
        "sweep: {training.steps: [1, 2], training.lr: [1e-5, .nan]}",
        "sweep: {a.b.c.d: [1]}",
        "sweep: {'': [[]]}",
    ),
    "sweep: {" + ", ".join(f"training.x{i}: [1, 2, 3, 4, 5, 6, 7, 8, 9]" for i in range(30)) + "}",
    *(
        "cells: [[], {}, null]",
        "cells: {a: 1}",
        "worlds: [miniature]",
        "world: [paper]",
        "world: {a: 1}",
        "world: ../x",
    ),
    *(
        "sampling: {images: 9007199254740992, shards: 9007199254740992}",
        "sampling: {images: 100000000, shards: 100000000}",
    ),
    *(
        "sampling: {steps: 9007199254740992}",
        "injection: {t: 9007199254740992}",
        "injection: {draws: 9007199254740992}",
    ),
    "training: {steps: 9007199254740992, batch: 9007199254740992}",
]


MARKS = ("&a", "*a", "!x", "|", ">", "- ", "{", "[", "#", "%", "@")


def experiment(chance):
    """A shipped experiment's text, spoilt in its lines, its letters or its values."""
    text = chance.choice(EXPERIMENTS).read_text()
    lines = text.splitlines()
    for _ in range(chance.choice([1, 1, 2, 5])):
        at, how = chance.randrange(len(lines) + 1), chance.randrange(7)
        line = lines[at] if at < len(lines) else "x: y"
        key, colon, rest = line.partition(":")
        if how < 2:
            new = [chance.choice(LINES)]
            first = new[0].partition(":")[0]
            lines = (
                [one for one in lines if not one.startswith(f"{first}:")] if chance.random() < 0.8 else lines
            )
        elif how == 2:
            new = [f"{key}{colon} {json.dumps(chance.value(), ensure_ascii=chance.random() < 0.5)}"]
        elif how == 3:
            new = [" " * chance.randrange(4) + line, line][: chance.randrange(3)]
        elif how == 4:
            new = [f"{key}{colon} {chance.choice(MARKS)}{rest}"]
        elif how == 5:
            new = [
                line.replace(
                    chance.choice(line or "x"), chance.choice("\"'[]{}:,#&*!|>%@`\\\0\ud800\x85\u2028")
                )
            ]
        else:
            new = [line[: chance.randrange(len(line) + 1)]]
        lines[at : at + 1] = new
    return "\n".join(lines)


def experiment_by_values(chance):
    try:
        return reading.write(
            chance.spoilt(reading.value(chance.choice(EXPERIMENTS).read_text(), "experiment"))
        )
    except (ValueError, OverflowError):  # what PyYAML itself cannot write
        return experiment(chance)


def planned_in(text, given):
    """Plan it, and hold what was planned against the folder it would go to."""
    made = plan.resolve(text).run()
    store = given / "store"
    for spec in (made.shared, *made.cells):
        assert (store / spec.folder).resolve().parent.parent == store.resolve() or spec is made.shared
    assert planned.Run.from_text(made.to_text()).to_text() == made.to_text()


def test_experiments_that_are_none_are_planned_or_refused_in_one_line(room):
    given = room / "given"
    os.mkfifo(given / "pipe")

    def make(chance):
        text = chance.choice([experiment, experiment, experiment_by_values])(chance)
        if chance.random() < 0.3:
            content = text.encode("utf-8", "surrogatepass")
            content = chance.spoilt_bytes(content) if chance.random() < 0.7 else content
            (given / "some.yaml").write_bytes(content)
            text = chance.choice(["some.yaml", str(given / "some.yaml"), "../given/some.yaml"])
        return [("plan", lambda: planned_in(text, given))]

    wrong = tried("experiments", room, make)
    assert not wrong, told(wrong)

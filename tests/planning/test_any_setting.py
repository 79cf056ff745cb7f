"""Settings that nobody thought of: every experiment and override is planned, or refused in one line that
names the key.
"""

from dataclasses import fields, is_dataclass

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from pipelines.__main__ import main
from unpromptable.planning import experiment as config
from unpromptable.planning import plan, plugins, reading
from unpromptable.planning.settings import Training

BLOCKS = {"training": Training, **config.BLOCKS}
KEYS = sorted(
    {
        *(f"{block}.{f.name}" for block, cls in BLOCKS.items() if is_dataclass(cls) for f in fields(cls)),
        *(
            f"{kind}.{f.name}"
            for kind in ("method", "editor")
            for name in plugins.names(kind)
            for f in fields(plugins.find(kind, name))
        ),
        *(f.name for f in fields(config.Experiment)),
        *BLOCKS,
        "method",
        "editor",
        "forget",
        "cells",
        "sweep",
        "base",
        "traning.steps",
        "training.stepz",
        "a..b",
        "",
        ".",
        "training.",
        "model.rank",
    }
)
TARGETS = ["0004-3", "0012-3", "0013-1"]
scalars = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-5, 12),
    some.integers(),
    some.floats(),
    some.floats(-2, 2),
    some.sampled_from(
        [
            "",
            "x",
            "a/b",
            "miniature",
            "paper",
            "flags/japan",
            "base",
            "data",
            "ddim",
            "ddpm",
            "siss",
            "paint",
            "flip",
            "1",
            "[x]",
            "\n",
            "é",
            "0004-3",
            "mean",
            "sum",
            ".inf",
            "1e-5",
            "no",
        ]
    ),
    some.text(max_size=5),
)
values = some.recursive(
    scalars,
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(
            some.sampled_from(["name", "steps", "lr", "beta", "folder", "settings", "x", ""]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)


def near(key):
    """Values that a setting may well have: its default, and others of its size."""
    block, _, name = key.partition(".")
    cls = BLOCKS.get(block)
    default = next((f.default for f in fields(cls) if f.name == name), None) if cls else None
    if isinstance(default, bool) or not isinstance(default, (int, float)):
        return some.sampled_from([default, "siss", "flip", 0.5, "base"])
    return some.sampled_from([default, default * 2, default / 2, default + 1, type(default)(1)])


likely = some.sampled_from([k for k in KEYS if "." in k.strip(".")]).flatmap(
    lambda k: some.tuples(some.just(k), near(k))
)
wild = some.tuples(some.sampled_from(KEYS), values)
overrides = some.lists(likely, min_size=1, max_size=3).map(dict) | some.lists(
    likely | wild, min_size=1, max_size=3
).map(dict)
cells = some.lists(
    some.one_of(
        values,
        some.dictionaries(
            some.sampled_from(["name", "method", "editor", "training", "forget", "group", "x"]),
            values,
            max_size=3,
        ),
    ),
    max_size=3,
)
sound = some.fixed_dictionaries(
    {"name": some.just("t"), "forget": some.sampled_from([["0004-3"], TARGETS, "0012-3"])},
    optional={
        "cells": some.lists(
            some.fixed_dictionaries(
                {"method": some.sampled_from(plugins.names("method"))},
                optional={
                    "editor": some.sampled_from(["flip", "noise", {"name": "sdedit", "strength": 0.4}]),
                    "training": some.sampled_from([{"steps": 3}, {"lr": 0.001, "batch": 2}, {}]),
                },
            ),
            max_size=1,
        ),
        "sweep": some.sampled_from(
            [
                {"training.steps": [1, 2]},
                {"method.name": ["siss", "naive"]},
                {"forget": [["0004-3"], TARGETS]},
            ]
        ),
        "base": some.sampled_from([{"training": {"steps": 2}}, {"editor": "flip"}]),
        "real": some.just("miniature"),
        "sampling": some.sampled_from([{"images": 8}, {"steps": 3, "sampler": "ddpm"}]),
        "world": some.just("miniature"),
    },
)
experiments = some.fixed_dictionaries(
    {},
    optional={
        "name": some.one_of(some.just("t"), values),
        "forget": some.one_of(some.just(["0004-3"]), some.sampled_from(TARGETS), values),
        "cells": some.one_of(cells, values),
        "base": values,
        "sweep": some.one_of(
            values,
            some.dictionaries(
                some.sampled_from(["method.beta", "training.steps", "forget", "editor.folder", "x"]),
                some.lists(values, max_size=3),
                max_size=2,
            ),
        ),
        **dict.fromkeys(
            (
                "training",
                "model",
                "sampling",
                "injection",
                "networks",
                "remember",
                "pictures",
                "quality",
                "metrics",
                "world",
                "worlds",
                "real",
                "prompt",
                "paper",
                "unknown",
            ),
            values,
        ),
    },
)
often = settings(
    max_examples=1000, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def planned_or_one_line(text, sets):
    """The key that is planned, or the refusal. Anything else than these two errors is raised."""
    try:
        return plan.resolve(text, "", sets, inputs=False).key
    except (ValueError, FileNotFoundError) as error:
        line = str(error)
        assert line and "\n" not in line and "\r" not in line and len(line) < 900, line
        assert line[0].isprintable() and (":" in line or " is " in line), line
        return line


@often
@given(overrides)
def test_overrides_are_planned_or_refused_in_one_line(sets):
    text = "name: t\nforget: ['0004-3']\ncells:\n- {name: A, method: siss}\n- {name: B}\n"
    planned_or_one_line(text, sets)


@often
@given(sound | experiments | some.builds(lambda a, b: {**a, **b}, sound, experiments))
def test_experiments_are_planned_or_refused_in_one_line(given_):
    planned_or_one_line(reading.write(given_), {})


@settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(some.sampled_from([k for k in KEYS if k]), values)
def test_the_command_line_ends_well_or_with_one_line_and_code_2(key, value):
    import contextlib
    import io

    said, written = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(written):
        text = yaml.safe_dump(value, default_flow_style=True, width=10**6)
        text = text.removesuffix("\n").removesuffix("...").strip()
        code = main(["plan", "demo", "--set", f"{key}={text}"])
    assert code in (0, 2)
    if code == 2:
        assert said.getvalue().startswith("error: ") and said.getvalue().count("\n") == 1, said.getvalue()


@pytest.mark.parametrize(
    "sets, words",
    [
        ({"training.steps": True}, "training.steps"),
        ({"training.lr": float("inf")}, "training.lr"),
        ({"quality": [1]}, "quality"),
        ({"model": [1]}, "model"),
    ],
)
def test_a_refusal_names_its_key(sets, words):
    assert planned_or_one_line("name: t\nforget: ['0004-3']\n", sets).startswith((words, f"--set {words}"))

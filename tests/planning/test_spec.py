"""What was planned, spoilt in its file: refused in one line that names the file."""

import json

import pytest
from planned_settings import resolve

from unpromptable.planning import spec as planned


def at(told, path, value):
    """The same with one value changed."""
    *above, last = path
    inner = told
    for key in above:
        inner = inner[key]
    inner[last] = value
    return told


@pytest.mark.parametrize(
    "path, value",
    [
        *(
            (("cells", 0, "folder"), folder)
            for folder in ("../../x", "/tmp/x", "cells/../../x", "cells/..", "shared", 5)
        ),
        (("shared", "folder"), "cells/a"),
        (("shared", "targets"), "x\ny"),
        (("shared", "keys"), {}),
        (("cells", 0, "keys"), {"row": 5}),
        (("cells", 0, "keys"), {}),
        (("cells", 0), None),
        (("cells", 0, "cell"), []),
        (("cells", 0, "cell", "method"), {"name": "../x"}),
        (("cells",), {}),
        (("shards", 0), {"first": 0}),
        (("shards", 0, "count"), "x"),
        (("key",), 5),
        (("name",), "../x"),
        (("sampling",), [1]),
    ],
)
def test_a_spoilt_plan_is_refused_in_one_line_and_leads_nowhere_else(tmp_path, path, value):
    told = json.loads(resolve().run().to_text())
    (tmp_path / planned.FILE).write_text(json.dumps(at(told, path, value)))
    with pytest.raises(ValueError, match="experiment.json: damaged") as caught:
        planned.read(tmp_path)
    assert type(caught.value) is ValueError and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000])
def test_a_plan_that_is_none_is_refused_by_name(tmp_path, content):
    (tmp_path / planned.FILE).write_bytes(content)
    with pytest.raises(ValueError, match="experiment.json: damaged"):
        planned.read(tmp_path)

"""The chart's page: its table has every value of the schema, with the default that values.yaml gives it."""

import json
import re
from pathlib import Path

import yaml

CHART = Path(__file__).parents[2] / "charts" / "unpromptable"
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
ROWS = re.findall(
    r"^\| `([\w.]+)` \| `(.*?)` \| (.+) \|$", (CHART / "README.md").read_text(encoding="utf-8"), re.M
)


def leaves(schema: dict, path: tuple[str, ...] = ()):
    """Paths of the schema's values: what has no properties of its own."""
    for name, one in schema["properties"].items():
        here = (*path, name)
        yield from leaves(one, here) if "properties" in one else [here]


def default(path: tuple[str, ...]):
    value = VALUES
    for name in path:
        value = value[name]
    return value


def test_the_table_has_every_value_of_the_schema_and_no_other():
    asked = [".".join(path) for path in leaves(SCHEMA) if path != ("global",)]  # Helm's own
    assert sorted(name for name, _, _ in ROWS) == sorted(asked)


def test_the_tables_defaults_are_those_of_the_chart():
    told = {name: yaml.safe_load(text) for name, text, _ in ROWS}
    assert told == {name: default(tuple(name.split("."))) for name in told}
